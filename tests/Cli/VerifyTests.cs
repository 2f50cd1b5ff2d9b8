using System.Diagnostics;
using System.Text.Json.Nodes;
using Qbb.Api;
using Qbb.Artifacts;
using Qbb.Cli.Registry;
using Qbb.Cli.Verifying;
using Qbb.Tests;
using Qbb.Workers.Units;

namespace Qbb.Cli.Tests;

/// <summary>qbb verify against all services in the test's process: what it recomputes, and what it finds.</summary>
public sealed class VerifyTests(VerifyTests.Server server) : IClassFixture<VerifyTests.Server>
{
    private const string Plain = """{ "decomposition": { "bases": 2, "group": 128 }, "evaluation": { "sampling": { "sequences": 4, "length": 64 } } }""";
    private const string Whole = """
        { "decomposition": { "bases": 2, "group": 16, "importance": "full" }, "sampling": { "sequences": 32, "length": 32 }, "filter": { "keep": 0.5 },
          "distillation": { "steps": 12, "batch": 4, "heldOut": 0.25, "learningRate": 0.02 }, "evaluation": { "sampling": { "sequences": 4, "length": 32 } } }
        """;

    /// <summary>A registry with the sample teacher as teacher@2, decomposed, and the tiny model as tiny@2, by all stages.</summary>
    public sealed class Server : IAsyncLifetime
    {
        private readonly TemporaryFolder _folder = new();
        private readonly CancellationTokenSource _stop = new();
        private Task _running = Task.CompletedTask;

        public string Url { get; private set; } = "";

        internal IRegistryApi Api { get; private set; } = null!;

        internal string File(string name) => _folder.File(name);

        /// <summary>The file of a blob in the registry's store.</summary>
        internal string PathOf(Digest digest) => Path.Combine(UpSettings.StoreOf(_folder.File("data")), "blobs", digest.Value[..2], digest.Value);

        public async ValueTask InitializeAsync()
        {
            var started = new TaskCompletionSource<string>();
            // Short units, so that there are several.
            var settings = new UpSettings(_folder.File("data"), 0, "cpu", 2, new Dictionary<string, PipelineRecipe> { ["plain"] = PipelineRecipe.Parse(Plain) }, ["Worker:UnitSeconds=5", "Logging:LogLevel:Qbb=Error", "Logging:LogLevel:Default=Error", "Logging:LogLevel:Microsoft=None"]);
            Directory.CreateDirectory(_folder.File("data"));
            _running = OneProcess.RunAsync(settings, started.SetResult, _stop.Token);
            await await Task.WhenAny(started.Task, _running);
            Url = await started.Task;
            Api = RegistryApi.Connect(RegistryAddress.Parse(Url), RetryOptions.None);
            foreach (var (name, folder, recipe) in new[] { ("teacher", Path.Combine(Reference.Root, "samples", "teacher"), Plain), ("tiny", Reference.Path("architectures", "llama-gqa-tied"), Whole) })
            {
                (await QbbCommands.RunAsync("push", folder, "--name", name, "--recipe", _folder.Write($"{name}.json", recipe), "--url", Url)).Code.ShouldBe(0);
                (await QbbCommands.RunAsync("watch", name, "--url", Url)).Code.ShouldBe(0);
            }
        }

        public async ValueTask DisposeAsync()
        {
            Api.Dispose();
            await _stop.CancelAsync();
            await _running;
            _stop.Dispose();
            _folder.Dispose();
        }
    }

    [Fact]
    public async Task The_sample_teachers_decomposition_and_evaluation_are_recomputed_within_a_minute()
    {
        var watch = Stopwatch.StartNew();
        var result = await RunAsync("teacher@2", "--seed", "3", "--json");
        watch.Elapsed.TotalSeconds.ShouldBeLessThan(60);
        result.Code.ShouldBe(0, result.Error);
        ((int)result.Json["seed"]!).ShouldBe(3);
        Verdicts(result).Keys.ShouldBe(["sample-windows", "gather-windows", "decompose", "assemble-model", "evaluate"], ignoreOrder: true);
        Verdicts(result).Values.ShouldAllBe(verdict => verdict == "identical", result.Out);
        // The same seed draws the same units, and seeds reach all of them.
        var statement = new Statement(await server.Api.GetProvenanceAsync("teacher", "2"));
        var verifier = new Verifier(statement, null!, WorkerEnvironment.Of(torch.CPU, 2));
        result.Json["units"]!.AsArray().Select(unit => (string)unit!["unit"]!).ShouldBe(verifier.Draw(3).Select(drawn => drawn.Unit.Name));
        Enumerable.Range(0, 1000).SelectMany(verifier.Draw).Select(drawn => drawn.Unit.Name).Distinct().Count().ShouldBe(statement.Units.Count);
        (await RunAsync("teacher@1")).Out.ShouldContain("verified: the files are those that were uploaded");
    }

    [Fact]
    public async Task Every_stage_of_a_distilled_model_comes_out_the_same()
    {
        var result = await RunAsync("tiny@2", "--json");
        result.Code.ShouldBe(0, result.Error);
        Verdicts(result).Keys.ShouldBe(
            ["sample", "gather-data", "decompose", "assemble-model", "score", "filter", "distil", "sample-windows", "gather-windows", "evaluate"], ignoreOrder: true);
        Verdicts(result).Values.ShouldAllBe(verdict => verdict == "identical", result.Out);
    }

    [Theory]
    [InlineData("tiny@2", "model.safetensors", "model.safetensors: ")]
    [InlineData("tiny@2", "config.json", "config.json: ")]
    // The base model is an input of every unit.
    [InlineData("tiny@1", "model.safetensors", "decompose/")]
    public async Task One_flipped_bit_in_a_published_file_or_an_input_is_found(string version, string file, string said)
    {
        var (model, reference) = ModelReference.ParseVersion(version);
        var blob = (await server.Api.GetVersionAsync(model, reference)).Files!.Single(one => one.Name == file).Digest;
        var bit = Random.Shared.NextInt64(8 * new FileInfo(server.PathOf(blob)).Length);
        Flip(server.PathOf(blob), bit);
        try
        {
            var result = await RunAsync("tiny@2", "--json");
            result.Code.ShouldBe(1, $"bit {bit}: {result.Out}");
            ((string)result.Json["code"]!).ShouldBe("verification-failed");
            ((string)result.Json["message"]!).ShouldContain(said);
            ((string)result.Json["message"]!).ShouldContain(blob.Value, customMessage: $"bit {bit}");
        }
        finally
        {
            Flip(server.PathOf(blob), bit);
        }
    }

    [Fact]
    public async Task A_unit_that_comes_out_otherwise_than_stated_is_found_and_elsewhere_its_objective_counts()
    {
        var stated = await server.Api.GetProvenanceAsync("teacher", "2");
        var wrong = Digest.Of("something else").Value;
        var here = WorkerEnvironment.Of(torch.CPU, 2);
        (await VerdictAsync(unit => unit)).ShouldBe(UnitVerdict.Identical);
        (await VerdictAsync(unit => unit with { Digest = Sha(wrong) })).ShouldBe(UnitVerdict.Different);
        // On another machine the bits may differ; the relative error may not.
        (await VerdictAsync(unit => unit with { Digest = Sha(wrong), Annotations = unit.Annotations! with { Environment = "cpu-other/64" } })).ShouldBe(UnitVerdict.WithinTolerance);
        (await VerdictAsync(unit => unit with
        {
            Digest = Sha(wrong),
            Annotations = unit.Annotations! with { Environment = "cpu-other/64", Report = new JsonObject { ["relativeError"] = 0.9 } },
        })).ShouldBe(UnitVerdict.Different);
        // Its key no longer follows from its inputs, and what it starts from is not explained.
        var version = await server.Api.GetVersionAsync("teacher", "2");
        new Statement(stated).Problems(version).ShouldBeEmpty();
        new Statement(With(unit => unit with { Annotations = unit.Annotations! with { Command = Moved(unit.Annotations.Command!) } })).Problems(version)
            .ShouldBe([$"decompose/0: its command has another key", $"decompose/0 starts from {wrong}, which the statement does not explain"]);

        async Task<UnitVerdict> VerdictAsync(Func<ProvenanceResource, ProvenanceResource> change)
        {
            using var folder = new TemporaryFolder();
            var blobs = new FetchedBlobs(server.Api, new LocalArtifactStore(folder.File("store")));
            using var works = new UnitWorks(blobs, Directory.CreateDirectory(folder.File("work")).FullName, "cpu", 2);
            var statement = new Statement(With(change));
            return (await new Verifier(statement, blobs, here).RunAsync(works, statement.Units.First(unit => unit.Name == "decompose/0"), 1, CancellationToken.None)).Verdict;
        }

        ProvenanceStatement With(Func<ProvenanceResource, ProvenanceResource> change) => stated with
        {
            Predicate = stated.Predicate with
            {
                RunDetails = stated.Predicate.RunDetails with { Byproducts = [.. stated.Predicate.RunDetails.Byproducts.Select(unit => unit.Name == "decompose/0" ? change(unit) : unit)] },
            },
        };

        JsonObject Moved(JsonObject command)
        {
            var copy = command.DeepClone().AsObject();
            copy["model"] = wrong;
            return copy;
        }

        static Dictionary<string, string> Sha(string digest) => new() { ["sha256"] = digest };
    }

    private Task<QbbProcess.Result> RunAsync(params string[] arguments) => QbbCommands.RunAsync(["verify", .. arguments, "--device", "cpu", "--url", server.Url]);

    private static Dictionary<string, string> Verdicts(QbbProcess.Result result) =>
        result.Json["units"]!.AsArray().ToDictionary(unit => ((string)unit!["unit"]!).Split('/')[0], unit => (string)unit!["verdict"]!);

    private static void Flip(string path, long bit)
    {
        var bytes = File.ReadAllBytes(path);
        bytes[bit / 8] ^= (byte)(1 << (int)(bit % 8));
        _ = new FileInfo(path) { IsReadOnly = false };
        // In place: the store's links lead to these bytes.
        using var file = new FileStream(path, FileMode.Open, FileAccess.Write);
        file.Write(bytes);
    }
}

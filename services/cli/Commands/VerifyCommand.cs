using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Artifacts;
using Qbb.Checkpoints;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;
using Qbb.Cli.Verifying;
using Qbb.Workers.Units;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb verify</c>: a version against its provenance statement.</summary>
internal sealed class VerifyCommand : AsyncCommand
{
    private readonly Argument<string> _version = new("MODEL@VERSION") { Description = "The model's name, and a version's number or alias; champion if left out." };
    private readonly Option<int?> _seed = new("--seed") { Description = "Draws the units. Default: another one each time; it is printed." };
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<int?> _threads = SharedOptions.Threads();
    private readonly Option<string> _url = RegistryAddress.Option();

    public VerifyCommand() : base("verify", "Checks a version against its provenance statement: reads every file, and recomputes a random unit of each stage.",
        "qbb verify tiny@champion",
        "qbb verify tiny@2 --seed 7 --json",
        "qbb verify tiny@2 --device cpu --threads 2")
    {
        Arguments.Add(_version);
        foreach (var option in new Option[] { _seed, _device, _threads, _url })
            Options.Add(option);
    }

    protected override async Task RunAsync(ParseResult parsed, Output output, CancellationToken cancel)
    {
        using var registry = RegistryAddress.Connect(parsed, _url, output);
        using var source = RegistryApi.Connect(registry.AddressOf(), RetryOptions.None);
        var (model, reference) = ModelReference.Parse(parsed.GetRequiredValue(_version));
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var version = await registry.VersionAsync(model, reference ?? ModelReference.Champion, cancel);
        var statement = new Statement(await registry.GetProvenanceAsync(model, $"{version.Version}", cancel));
        // Sums in floating point may depend on the number of threads: as many as the worker had.
        var threads = parsed.GetValue(_threads) ?? statement.Units.Select(unit => WorkerEnvironment.Parse(unit.Notes.Environment)?.Threads).FirstOrDefault(known => known > 0);
        SharedOptions.ApplyThreads(threads);
        var seed = parsed.GetValue(_seed) ?? Random.Shared.Next();
        var folder = Directory.CreateTempSubdirectory("qbb-verify-").FullName;
        try
        {
            var blobs = new FetchedBlobs(source, new LocalArtifactStore(Path.Combine(folder, "store")));
            var verifier = new Verifier(statement, blobs, WorkerEnvironment.Of(device, threads ?? 0));
            var problems = statement.Problems(version).ToList();
            problems.AddRange(await ProgressBars.RunAsync(output, "verifying", report => verifier.FilesAsync((index, name) => report(index, statement.Files.Count, name), cancel)));
            var units = new List<VerifiedUnit>();
            using (var works = new UnitWorks(blobs, Path.Combine(folder, "work"), $"{device}", threads ?? 0))
            {
                foreach (var (unit, of) in verifier.Draw(seed))
                {
                    units.Add(await ProgressBars.RunAsync(output, $"recomputing {unit.Name}", _ => verifier.RunAsync(works, unit, of, cancel)));
                    if (units[^1].Verdict == UnitVerdict.Different)
                        problems.Add($"{unit.Name}: {units[^1].Detail}");
                }
            }
            Show(output, version, statement, units, seed, problems);
            if (problems.Count > 0)
                throw new VerificationFailedException($"{version.Model} version {version.Version} is not what its statement says: {string.Join("; ", problems)}", $"repeat with --seed {seed}; restore damaged blobs from a backup");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Show(Output output, VersionView version, Statement statement, List<VerifiedUnit> units, int seed, List<string> problems)
    {
        // Of a failure --json tells with the failure's own object.
        if (output.Json && problems.Count > 0)
            return;
        output.Result(new JsonObject
        {
            ["model"] = version.Model,
            ["version"] = version.Version,
            ["manifest"] = version.Manifest,
            ["seed"] = seed,
            ["files"] = statement.Files.Count,
            ["units"] = new JsonArray([.. units.Select(unit => (JsonNode)new JsonObject
            {
                ["unit"] = unit.Name,
                ["of"] = unit.Of,
                ["verdict"] = Wire.NameOf(unit.Verdict),
                ["detail"] = unit.Detail,
                ["seconds"] = Math.Round(unit.Seconds, 3),
            })]),
        }, _ =>
        {
            Console.Out.WriteLine($"{version.Model} version {version.Version}: {statement.Files.Count} files, {statement.Units.Count} units, seed {seed}");
            foreach (var unit in units)
                Console.Out.WriteLine($"{unit.Name} of {unit.Of}: {Wire.NameOf(unit.Verdict)}, {unit.Detail} ({unit.Seconds:0.0} s)");
            if (problems.Count == 0)
                Console.Out.WriteLine(statement.Recipe is null ? "verified: the files are those that were uploaded" : "verified");
        });
    }
}

/// <summary>A version is not what its provenance statement says.</summary>
internal sealed class VerificationFailedException(string message, string remedy) : Exception(message)
{
    public string Remedy => remedy;
}

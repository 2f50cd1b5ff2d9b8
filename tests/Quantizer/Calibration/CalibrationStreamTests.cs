using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Calibration;

public sealed class CalibrationStreamTests : IDisposable
{
    private static readonly Recipe Small = new() { Bases = 2, Group = 16, Importance = Importance.Full, Rounds = 3 };
    private readonly string _folder = Directory.CreateTempSubdirectory("qbb-calibration").FullName;

    private string Output => Path.Combine(_folder, "out");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    public static TheoryData<string> Architectures =>
        new("gemma", "gpt-neox", "gpt2", "llama-gqa-tied", "llama-mha", "mistral", "opt", "phi", "phi3", "qwen2", "qwen3");

    /// <summary>What a layer was given as inputs is what it sees in the finished model, where everything before it is quantized.</summary>
    [Theory]
    [MemberData(nameof(Architectures))]
    public void Every_layer_sees_the_outputs_of_its_quantized_predecessors(string name)
    {
        var model = Reference.Path("architectures", name);
        var seen = new Recorder(Small with { Importance = Importance.Diag });
        var tokens = Tokens(5, 12, 7, 12, 2);
        new ModelQuantizer(Small, seen, calibration: new CalibrationStream(tokens, new() { TokensPerBatch = 20 })).Run(model, Output);

        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        using var source = ModelSource.Open(Output);
        using var finished = Transformer.Load(source, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(source));
        var taps = new Dictionary<string, InputStatistics>();
        foreach (var block in finished.Blocks)
        {
            foreach (var spec in block.Layout.Linears)
            {
                taps[spec.Weight] = new InputStatistics(spec.InFeatures);
                block.Replace(spec.Role, new Tap(block.Linear(spec.Role), taps[spec.Weight]));
            }
        }
        for (var k = 0; k < tokens.Count; k++)
        {
            var ids = new int[tokens.LengthOf(k)];
            tokens.Read(k, ids);
            finished.hidden(torch.tensor(Array.ConvertAll(ids, id => (long)id), 1, ids.Length));
        }
        seen.Inputs.Keys.Order().ShouldBe(taps.Keys.Order());
        foreach (var (layer, tap) in taps)
        {
            tap.Count.ShouldBe(38);
            var expected = tap.Mean();
            seen.Inputs[layer].ShouldBe(expected, 1e-4 * expected.Max(Math.Abs), layer);
        }
    }

    [Theory]
    [InlineData("llama-mha")]
    [InlineData("gpt-neox")]
    public void Outputs_err_less_than_without_calibration(string name)
    {
        var model = Reference.Path("architectures", name);
        var (plain, aware) = (Path.Combine(_folder, "plain"), Output);
        new ModelQuantizer(Small with { Importance = Importance.None }).Run(model, plain);
        var result = new ModelQuantizer(Small, calibration: new CalibrationStream(Tokens([.. Enumerable.Repeat(40, 50)]))).Run(model, aware);
        result.Layers.ShouldAllBe(layer => layer.Output!.AfterStep.Count == 7 && layer.Output.Tokens == 2000);
        var (worse, better) = (Distance(model, plain), Distance(model, aware));
        TestContext.Current.TestOutputHelper!.WriteLine(
            $"squared difference of logits: {worse:g4} without, {better:g4} with; output error {result.RelativeOutputError:g4}");
        better.ShouldBeLessThan(worse);

        var metrics = JsonNode.Parse(File.ReadAllText(Path.Combine(aware, "metrics.json")))!;
        metrics["calibration"]!["tokens"]!.GetValue<long>().ShouldBe(2000);
        metrics["relativeOutputError"]!.GetValue<double>().ShouldBe(result.RelativeOutputError!.Value, 1e-12);
        metrics["layers"]![0]!["output"]!["afterStep"]!.AsArray().Count.ShouldBe(7);
        JsonNode.Parse(File.ReadAllText(Path.Combine(plain, "metrics.json")))!["layers"]![0]!["output"].ShouldBeNull();
        File.ReadAllText(Path.Combine(aware, "README.md")).ShouldContain("2,000 tokens");
        Recipe.FromJson(File.ReadAllText(Path.Combine(aware, "recipe.json"))).Importance.ShouldBe(Importance.Full);
    }

    /// <summary>In the middle of a stage, between stages, between blocks.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(7)]
    [InlineData(9)]
    public void A_second_run_continues_an_interrupted_one_to_the_same_bytes(int after)
    {
        var model = Reference.Path("architectures", "llama-mha");
        var whole = Path.Combine(_folder, "whole");
        var tokens = Tokens(30, 30, 20);
        new ModelQuantizer(Small, calibration: new CalibrationStream(tokens)).Run(model, whole);

        using var cancellation = new CancellationTokenSource();
        var stopping = new Told(progress =>
        {
            if (progress.Done == after)
                cancellation.Cancel();
        });
        Should.Throw<OperationCanceledException>(() =>
            new ModelQuantizer(Small, calibration: new CalibrationStream(tokens))
                .Run(model, Output, progress: stopping, cancellation: cancellation.Token));
        Directory.Exists(Output).ShouldBeFalse();
        var result = new ModelQuantizer(Small, calibration: new CalibrationStream(tokens)).Run(model, Output);
        result.ResumedLayers.ShouldBe(after);
        File.ReadAllBytes(Path.Combine(Output, "model.safetensors")).ShouldBe(File.ReadAllBytes(Path.Combine(whole, "model.safetensors")));
    }

    [Fact]
    public void Activations_on_disk_give_the_same_bytes_and_leave_nothing()
    {
        var model = Reference.Path("architectures", "qwen2");
        var inMemory = Path.Combine(_folder, "memory");
        var tokens = Tokens(30, 11, 30);
        new ModelQuantizer(Small, calibration: new CalibrationStream(tokens)).Run(model, inMemory);
        var activations = Path.Combine(_folder, "activations");
        new ModelQuantizer(Small, calibration: new CalibrationStream(tokens, new() { ActivationFolder = activations })).Run(model, Output);
        File.ReadAllBytes(Path.Combine(Output, "model.safetensors")).ShouldBe(File.ReadAllBytes(Path.Combine(inMemory, "model.safetensors")));
        Directory.GetFiles(activations).ShouldBeEmpty();
    }

    [Fact]
    public void Other_data_reuse_nothing()
    {
        var stream = new CalibrationStream(Tokens(30, 30));
        stream.Digest.ShouldBe(new CalibrationStream(Tokens(30, 30)).Digest);
        stream.Digest.ShouldNotBe(new CalibrationStream(Tokens(30, 29)).Digest);
        stream.Digest.ShouldNotBe(new CalibrationStream(Tokens(30, 30), new() { Sequences = 1 }).Digest);
        stream.Tokens.ShouldBe(60);
    }

    [Fact]
    public void Data_that_do_not_fit_are_refused_with_what_to_do()
    {
        var model = Reference.Path("architectures", "llama-mha");
        var tokens = Tokens(30, 30);
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(Small)).Message.ShouldContain("--calibration");
        var weightsAlone = Small with { Importance = Importance.None };
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(weightsAlone, calibration: new CalibrationStream(tokens)))
            .Message.ShouldContain("importance");
        Should.Throw<InvalidInputException>(() => new CalibrationStream(tokens, new() { Sequences = 3 })).Message.ShouldContain("there are only 2");
        Should.Throw<InvalidInputException>(() => new CalibrationStream(new TokenSequences([]))).Message.ShouldContain("no sequence");
        var foreign = new CalibrationStream(new Sampled(tokens, new string('a', 64)));
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(Small, calibration: foreign).Run(model, Output))
            .Message.ShouldContain("another model");
        var outside = new CalibrationStream(new TokenSequences([[1, 100_000]]));
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(Small, calibration: outside).Run(model, Output))
            .Message.ShouldContain("100000");
        Directory.GetFileSystemEntries(_folder).ShouldBeEmpty();
    }

    private static TokenSequences Tokens(params int[] lengths)
    {
        var random = new SplitMix64(1);
        return new TokenSequences(lengths.Select(length => Enumerable.Range(0, length).Select(_ => (int)(random.Next() % 50)).ToArray()));
    }

    private static double Distance(string model, string other)
    {
        using var scope = torch.NewDisposeScope();
        return (Logits(model) - Logits(other)).square().mean().ToDouble();
    }

    private static Tensor Logits(string path)
    {
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        using var source = ModelSource.Open(path);
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(source), own: true);
        var random = new SplitMix64(2);
        var ids = Enumerable.Range(0, 60).Select(_ => (long)(random.Next() % 50)).ToArray();
        return model.forward(torch.tensor(ids, 2, 30)).MoveToOuterDisposeScope();
    }

    private sealed class Tap(ILinear inner, InputStatistics statistics) : ILinear
    {
        public int InFeatures => inner.InFeatures;

        public int OutFeatures => inner.OutFeatures;

        public Tensor forward(Tensor x)
        {
            statistics.Add(x);
            return inner.forward(x);
        }

        public IEnumerable<(string Name, Tensor Value)> Parameters() => inner.Parameters();

        public void Dispose() => inner.Dispose();
    }

    private sealed class Recorder(Recipe recipe) : ILayerMethod
    {
        private readonly BasesMethod _method = new(recipe);

        public Dictionary<string, double[]> Inputs { get; } = [];

        public string Name => "recorder";

        public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
        {
            Inputs[weights.Name] = weights.Inputs!.Mean();
            return _method.Quantize(weights, cancellation);
        }
    }

    private sealed class Sampled(ITokenSequences inner, string teacher) : ITokenSequences
    {
        public int Count => inner.Count;

        public string Digest => inner.Digest;

        public string? TeacherDigest => teacher;

        public int LengthOf(int index) => inner.LengthOf(index);

        public void Read(int index, Span<int> ids) => inner.Read(index, ids);
    }

    private sealed class Told(Action<QuantizeProgress> action) : IProgress<QuantizeProgress>
    {
        public void Report(QuantizeProgress value) => action(value);
    }
}

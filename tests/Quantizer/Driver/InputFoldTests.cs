using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Rounding;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Driver;

public sealed class InputFoldTests : IDisposable
{
    private static readonly Recipe Awq = new() { Bases = 4, Group = 16, Init = Init.Awq, Refinement = Refinement.None, Importance = Importance.Full, Embedding = EmbeddingForm.Bits16 };
    private readonly string _folder = Directory.CreateTempSubdirectory("qbb-fold").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>The finished model, whose norms and layers took scales in, is the function of the weights that were found: W·s rounded, over s.</summary>
    /// <param name="name">Of the architecture.</param>
    /// <param name="folded">Layers of a block whose scales something before them takes.</param>
    [Theory]
    [InlineData("llama-mha", 7)]
    [InlineData("llama-gqa-tied", 6)]
    [InlineData("gemma", 6)]
    [InlineData("gemma2", 6)]
    [InlineData("qwen3", 6)]
    [InlineData("phi3", 3)]
    [InlineData("phi", 5)]
    [InlineData("gpt-neox", 3)]
    [InlineData("gpt2", 3)]
    [InlineData("opt", 6)]
    [InlineData("olmo2", 1)]
    public void The_model_computes_what_the_layers_were_found_to_be(string name, int folded)
    {
        var model = Reference.Path("architectures", name);
        var output = Path.Combine(_folder, "out");
        var method = new Recorder(new AwqMethod(Awq));
        var tokens = new TokenSequences([.. Enumerable.Range(0, 20).Select(k => Ids((ulong)k, 30))]);
        new ModelQuantizer(Awq, method, calibration: new CalibrationStream(tokens)).Run(model, output);

        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        using var source = ModelSource.Open(model);
        using var finished = ModelSource.Open(output);
        using var expected = Transformer.Load(source, torch.CPU, ScalarType.Float32, new Recorded(method.Weights));
        using var found = Transformer.Load(finished, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(finished));
        var ids = torch.tensor(Array.ConvertAll(Ids(99, 24), id => (long)id), 2, 12);
        var (right, ours) = (expected.forward(ids), found.forward(ids));
        // Scales of fp16 are rounded once more.
        ((ours - right).square().mean() / right.square().mean()).sqrt().ToDouble().ShouldBeLessThan(3e-3);
        method.Weights.Values.Count(weight => weight is ScaledBases).ShouldBe(folded * expected.Blocks.Count);
        method.Weights.Values.OfType<ScaledBases>().ShouldContain(weight => weight.InputScales.Max() > 1.1f * weight.InputScales.Min());
    }

    private static int[] Ids(ulong seed, int count)
    {
        var random = new SplitMix64(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (int)(random.Next() % 50))];
    }

    private sealed class Recorder(ILayerMethod inner) : ILayerMethod
    {
        public Dictionary<string, IQuantizedWeight> Weights { get; } = [];

        public string Name => inner.Name;

        public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
        {
            var result = inner.Quantize(weights, cancellation);
            Weights.Add(weights.Name, result.Weight);
            return result;
        }
    }

    /// <summary>Loads recorded weights.</summary>
    private sealed class Recorded(Dictionary<string, IQuantizedWeight> weights) : ILinearLoader
    {
        public ILinear Load(ITensorSource source, LinearSpec spec, Device device, ScalarType dtype) => weights.TryGetValue(spec.Weight, out var weight)
            ? ExpandedLinear.Create(weight, source, spec, device, dtype)
            : new DenseLinearLoader(true).Load(source, spec, device, dtype);
    }
}

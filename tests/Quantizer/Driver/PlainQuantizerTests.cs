using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Lattice;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Driver;

public sealed class PlainQuantizerTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("qbb-plain").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>Weights of GPT-2 are stored as [in, out].</summary>
    [Theory]
    [InlineData("llama-gqa-tied")]
    [InlineData("gpt2")]
    public void The_folder_is_a_plain_model_of_the_weights_that_were_found(string name)
    {
        var (model, output, method) = (Reference.Path("architectures", name), Path.Combine(_folder, "out"), new Recorder());
        var bits = new PlainQuantizer(method, Calibration()).Run(model, output);

        using var source = ModelSource.Open(output);
        source.ConfigJson["quantization_config"].ShouldBeNull();
        var layers = DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors).Linears.ToList();
        layers.Count.ShouldBe(method.Weights.Count);
        foreach (var spec in layers)
        {
            var values = new float[spec.WeightCount];
            WeightLoader.ReadWeight(source.Tensors, spec, values);
            values.ShouldBe(Array.ConvertAll(method.Weights[spec.Weight].Values, value => (float)(Half)value), spec.Weight);
        }
        bits.ShouldBe(layers.Sum(spec => 3.0 * spec.WeightCount + spec.InFeatures + spec.OutFeatures + 32) / layers.Sum(spec => spec.WeightCount), 1e-9);
        PlainQuantizer.BitsOf(output).ShouldBe(bits);
    }

    [Fact]
    public void An_interrupted_run_goes_on_where_it_stopped()
    {
        var (model, output, method) = (Reference.Path("architectures", "llama-gqa-tied"), Path.Combine(_folder, "out"), new Recorder { Most = 5 });
        Should.Throw<OperationCanceledException>(() => new PlainQuantizer(method, Calibration()).Run(model, output));
        Directory.Exists(output).ShouldBeFalse();
        var rest = new Recorder();
        new PlainQuantizer(rest, Calibration()).Run(model, output);
        rest.Weights.Keys.Intersect(method.Weights.Keys).ShouldBeEmpty();
        Directory.GetFileSystemEntries(_folder).ShouldBe([output]);
        Should.Throw<InvalidInputException>(() => new PlainQuantizer(rest, Calibration()).Run(model, output)).Message.ShouldContain("--force");
    }

    private static CalibrationStream Calibration()
    {
        var random = new SplitMix64(3);
        return new CalibrationStream(new TokenSequences([.. Enumerable.Range(0, 8).Select(_ => Enumerable.Range(0, 30).Select(_ => (int)(random.Next() % 50)).ToArray())]));
    }

    private sealed class Recorder : ILayerMethod
    {
        private readonly QuipMethod _method = new(3);

        public Dictionary<string, LatticeWeight> Weights { get; } = [];

        public int Most { get; init; } = int.MaxValue;

        public string Name => _method.Name;

        public LayerResult Quantize(LayerWeights weights, CancellationToken cancellation = default)
        {
            if (Weights.Count == Most)
                throw new OperationCanceledException();
            var result = _method.Quantize(weights, cancellation);
            Weights.Add(weights.Name, (LatticeWeight)result.Weight);
            return result;
        }
    }
}

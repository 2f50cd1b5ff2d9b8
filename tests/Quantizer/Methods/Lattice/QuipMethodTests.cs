using Qbb.Models;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Lattice;
using Qbb.Quantizer.Methods.Rounding;
using Qbb.Quantizer.Tests.Methods.OutputAware;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Lattice;

public class QuipMethodTests
{
    /// <summary>Powers of two, both of Paley's matrices (12, 20, 36, 200), and sizes without one (86, 344).</summary>
    [Theory]
    [InlineData(2)]
    [InlineData(256)]
    [InlineData(192)]
    [InlineData(640)]
    [InlineData(576)]
    [InlineData(200)]
    [InlineData(86)]
    [InlineData(344)]
    public void The_transform_is_orthogonal_and_spreads_what_stands_out(int size)
    {
        using var scope = torch.NewDisposeScope();
        using var transform = new Incoherence(size, 1, "w");
        var dense = transform.Apply(torch.eye(size, dtype: ScalarType.Float64));
        (dense.matmul(dense.t()) - torch.eye(size, dtype: ScalarType.Float64)).abs().max().ToDouble().ShouldBeLessThan(1e-12);
        (transform.Undo(dense) - torch.eye(size, dtype: ScalarType.Float64)).abs().max().ToDouble().ShouldBeLessThan(1e-12);
        (dense.abs().max().ToDouble() * Math.Sqrt(size)).ShouldBeLessThan(1.4143);
        transform.StoredBits.ShouldBe(size is 86 or 344 ? 8 * size : size);
    }

    [Theory]
    [InlineData(256, 0, 256 * 8)]
    // 640 = 32 · 20: five steps of butterflies, and 19 sums of Paley's matrix.
    [InlineData(640, 0, 640 * (5 + 19))]
    // 86 points, 43 · log2 86 = 276.3 butterflies.
    [InlineData(172, 1449, 1658 + 172)]
    public void The_transform_costs_its_butterflies(int size, long multiplications, long additions) =>
        Incoherence.Operations(size).ShouldBe((multiplications, additions));

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void It_finds_what_the_plain_form_finds(int bits)
    {
        const int Rows = 20, Features = 40;
        using var scope = torch.NewDisposeScope();
        torch.random.manual_seed(4);
        var x = torch.matmul(torch.randn(200, Features), torch.randn(Features, Features));
        using var inputs = new InputStatistics(Features);
        inputs.Add(x);
        var weights = new LayerWeights("w", Rows, Features, torch.randn(Rows, Features).ToArray<float>()) { Inputs = inputs };
        var found = Values(new QuipMethod(bits).Quantize(weights));

        using Incoherence columns = new(Features, QuipMethod.SeedOf(1), "w"), rows = new(Rows, QuipMethod.SeedOf(2), "w");
        Tensor v = columns.Apply(torch.eye(Features, dtype: ScalarType.Float64)), u = rows.Apply(torch.eye(Rows, dtype: ScalarType.Float64));
        var h = v.t().matmul(OutputObjective.Damped(inputs.Mean(torch.CPU))).matmul(v);
        var mixed = u.t().matmul(torch.tensor(weights.Values.Span, Rows, Features).to(ScalarType.Float64)).matmul(v);
        var scale = mixed.square().mean().sqrt().ToDouble();
        var matrix = new double[Features, Features];
        Buffer.BlockCopy(h.contiguous().ToArray<double>(), 0, matrix, 0, 8 * Features * Features);
        var expected = new double[Rows * Features];
        for (var row = 0; row < Rows; row++)
            ReferenceQuip.Row((mixed[row] / scale).ToArray<double>(), matrix, new LatticeCode(bits)).Select(value => value * scale).ToArray().CopyTo(expected, row * Features);
        var back = u.matmul(torch.tensor(expected, Rows, Features)).matmul(v.t()).ToArray<double>();
        for (var k = 0; k < found.Length; k++)
            ((double)found[k]).ShouldBe(back[k], 1e-5, $"value {k}");
    }

    /// <summary>Below round to nearest at all bits, and below GPTQ's with act-order and groups of 128 at 2 bits. These inputs are far more correlated than those of models: at 3 bits GPTQ's order of columns wins on two of the three.</summary>
    [Theory]
    [MemberData(nameof(References))]
    public void Outputs_err_less_than_those_of_the_references(string name)
    {
        var layer = new ReferenceLayer(name);
        for (var bits = 2; bits <= 4; bits++)
        {
            var result = new QuipMethod(bits).Quantize(layer.Weights);
            var objective = layer.Objective(Values(result));
            objective.ShouldBeLessThan(layer.Objective(layer.Result($"rtn-{bits}bit-g128")) / 2, $"{bits} bits");
            if (bits == 2)
                objective.ShouldBeLessThan(layer.Objective(layer.Result("gptq-2bit-g128-actorder")));
            result.Weight.EffectiveBitsPerWeight.ShouldBe(bits + (layer.Rows + layer.Columns + 32.0) / (layer.Rows * layer.Columns), 1e-9);
        }
    }

    public static TheoryData<string> References => new(ReferenceLayer.Names);

    [Fact]
    public void The_result_does_not_depend_on_the_number_of_threads()
    {
        var layer = new ReferenceLayer("student-64x384").Weights;
        Values(new QuipMethod(2, 3).Quantize(layer)).ShouldBe(Values(new QuipMethod(2, 1).Quantize(layer)));
    }

    [Fact]
    public void Weights_and_inputs_of_zeros_do_no_harm()
    {
        using var inputs = new InputStatistics(16);
        inputs.Add(torch.zeros(4, 16));
        Values(new QuipMethod(2).Quantize(new LayerWeights("w", 4, 16, new float[64]) { Inputs = inputs })).ShouldAllBe(value => value == 0);
        Values(new QuipMethod(2).Quantize(new LayerWeights("w", 4, 16, Enumerable.Repeat(0.5f, 64).ToArray()) { Inputs = inputs })).ShouldAllBe(value => float.IsFinite(value));
    }

    [Fact]
    public void What_it_has_no_codes_for_is_named()
    {
        using var inputs = new InputStatistics(12);
        inputs.Add(torch.ones(4, 12));
        Should.Throw<InvalidInputException>(() => new QuipMethod(5)).Message.ShouldContain("bits is 5, and QuIP# has codes of 2, 3, 4");
        Should.Throw<InvalidInputException>(() => new QuipMethod(2).Quantize(new LayerWeights("w", 4, 12, new float[48]) { Inputs = inputs })).Message.ShouldContain("12 inputs do not divide");
    }

    private static float[] Values(LayerResult result) => ((LatticeWeight)result.Weight).Values;
}

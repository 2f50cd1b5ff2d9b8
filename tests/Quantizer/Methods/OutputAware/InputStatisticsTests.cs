using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Tests.Methods.OutputAware;

public class InputStatisticsTests
{
    [Fact]
    public void The_mean_is_that_of_all_inputs_however_they_come_in_batches()
    {
        var x = Synthetic.Gaussian(120 * 5, 1);
        using var statistics = new InputStatistics(5);
        statistics.Mean().ShouldBe(new double[25]);
        statistics.Importance().ShouldBe([1, 1, 1, 1, 1]);
        using (torch.NewDisposeScope())
        {
            statistics.Add(torch.tensor(x.AsSpan(0, 300), 2, 30, 5));
            statistics.Add(torch.tensor(x.AsSpan(300), 60, 5).to(ScalarType.Float64));
        }
        statistics.Count.ShouldBe(120);
        var expected = new double[25];
        for (var k = 0; k < 3000; k++)
            expected[k % 25] += (double)x[k / 25 * 5 + k % 25 / 5] * x[k / 25 * 5 + k % 5] / 120;
        statistics.Mean().ShouldBe(expected, 1e-6);
        var mean = Enumerable.Range(0, 5).Average(j => expected[6 * j]);
        statistics.Importance().ShouldBe(Enumerable.Range(0, 5).Select(j => expected[6 * j] + 0.01 * mean), 1e-6);
    }

    [Theory]
    [InlineData(ScalarType.BFloat16), InlineData(ScalarType.Float16), InlineData(ScalarType.Float32)]
    public void On_a_gpu_no_digits_of_the_inputs_are_lost(ScalarType type)
    {
        Assert.SkipUnless(torch.cuda.is_available(), "no GPU here");
        using var scope = torch.NewDisposeScope();
        var x = torch.tensor(Synthetic.Gaussian(5000 * 64, 2), 5000, 64).to(type);
        using var statistics = new InputStatistics(64);
        statistics.Add(x.to(torch.CUDA));
        var wide = x.to(ScalarType.Float64);
        var expected = torch.matmul(wide.t(), wide) / 5000;
        var error = (statistics.Mean(torch.CPU) - expected).abs().max().ToDouble();
        TestContext.Current.TestOutputHelper!.WriteLine($"{type}: largest error {error:g3}, allowed 1e-5");
        error.ShouldBeLessThan(1e-5);
    }

    [Fact]
    public void Curvature_inverts_the_damped_matrix_in_order_of_falling_diagonal()
    {
        var layer = new ReferenceLayer("ragged-128x200");
        var curvature = Curvature.Of(layer.Weights.Inputs!, "w");
        var (n, h) = (curvature.Features, layer.Weights.Inputs!.Mean());
        var mean = Enumerable.Range(0, n).Average(j => h[j * n + j]);
        curvature.Damping.ShouldBe(0.01);
        for (var k = 0; k < n; k++)
        {
            curvature.Matrix[k * n + k].ShouldBe(h[k * n + k] + 0.01 * mean, 1e-9);
            if (k > 0)
                h[curvature.Order[k] * n + curvature.Order[k]].ShouldBeLessThanOrEqualTo(h[curvature.Order[k - 1] * n + curvature.Order[k - 1]]);
        }
        using var scope = torch.NewDisposeScope();
        var inverse = torch.linalg.inv(torch.tensor(curvature.Matrix, n, n));
        var upper = torch.tensor(curvature.Factor, n, n);
        var order = torch.tensor(Array.ConvertAll(curvature.Order, j => (long)j));
        var ordered = inverse.index_select(0, order).index_select(1, order);
        (torch.matmul(upper.t(), upper) - ordered).abs().max().ToDouble().ShouldBeLessThan(1e-9 * ordered.abs().max().ToDouble());
        curvature.InverseDiagonal.ShouldBe(inverse.diagonal().ToArray<double>(), 1e-9 * ordered.abs().max().ToDouble());
    }

    [Fact]
    public void A_matrix_without_factors_is_damped_ten_times_more()
    {
        // No mean of products, but what rounding may leave of one: an eigenvalue below zero by more than the first damping.
        using var scope = torch.NewDisposeScope();
        using var statistics = new InputStatistics(2);
        statistics.Add(torch.tensor(new float[] { 1, 1 }, 1, 2));
        statistics.Add(torch.tensor(new float[] { 1, 1 }, 1, 2));
        var healthy = Curvature.Of(statistics, "w");
        healthy.Damping.ShouldBe(0.01);
        Curvature.Of([1, 1.05, 1.05, 1], "w").Damping.ShouldBe(0.1);
    }
}

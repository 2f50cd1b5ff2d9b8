namespace Qbb.LibTorch.Tests;

public class RoundedFactorsTests
{
    /// <summary>11 significant bits: a rounding changes a factor by at most this share.</summary>
    private const double Rounding = 1.0 / 2048;

    [Fact]
    public void The_setting_ends_with_it()
    {
        var before = torch.backends.cuda.matmul.allow_tf32;
        using (new RoundedFactors())
        {
            torch.backends.cuda.matmul.allow_tf32.ShouldBeTrue();
            using (new RoundedFactors())
                torch.backends.cuda.matmul.allow_tf32.ShouldBeTrue();
            torch.backends.cuda.matmul.allow_tf32.ShouldBeTrue();
        }
        torch.backends.cuda.matmul.allow_tf32.ShouldBe(before);
    }

    [Fact]
    public void On_a_gpu_products_of_positive_factors_are_off_by_two_roundings_at_most_and_exact_again_after()
    {
        Assert.SkipUnless(torch.cuda.is_available(), "no GPU here");
        using var scope = torch.NewDisposeScope();
        var (a, b) = (torch.rand(512, 2048, ScalarType.Float32), torch.rand(2048, 512, ScalarType.Float32));
        var exact = a.to(ScalarType.Float64).mm(b.to(ScalarType.Float64));
        using (new RoundedFactors())
            Error().ShouldBeInRange(1e-6, 2.1 * Rounding);
        Error().ShouldBeLessThan(1e-6);

        double Error() => (a.cuda().mm(b.cuda()).cpu().to(ScalarType.Float64) / exact - 1).abs().max().ToDouble();
    }
}

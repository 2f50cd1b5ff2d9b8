namespace Qbb.Bases.Tests.Cuda;

internal static class Products
{
    /// <summary>Most relative error ‖y − ŷ‖/‖y‖ of a product before its rounding to the output's type.</summary>
    public const double Tolerance = 1e-3;

    /// <summary>Compares a kernel's result with the definition in double.</summary>
    public static void Check(BinaryBases bases, Tensor x, Tensor? addend, Tensor y)
    {
        var tokens = (int)x.size(0);
        var expected = new double[tokens * bases.OutFeatures];
        ReferenceProduct.Multiply(bases, x.to(ScalarType.Float64, torch.CPU).flatten().ToArray<double>(), expected);
        var added = addend?.to(ScalarType.Float64, torch.CPU).flatten().ToArray<double>();
        var actual = y.to(ScalarType.Float64, torch.CPU).flatten().ToArray<double>();
        var rounding = y.dtype == ScalarType.BFloat16 ? 1.0 / 256 : 1.0 / 2048;
        double error = 0, size = 0;
        for (var k = 0; k < actual.Length; k++)
        {
            var wanted = expected[k] + (added?[added.Length == actual.Length ? k : k % added.Length] ?? 0);
            double.IsFinite(actual[k]).ShouldBeTrue($"y[{k}] is {actual[k]}, expected {wanted}");
            // What rounding the right result to y's type may cost is not the kernel's doing.
            error += Math.Pow(Math.Max(0, Math.Abs(actual[k] - wanted) - rounding * Math.Abs(wanted)), 2);
            size += wanted * wanted;
        }
        var relative = Math.Sqrt(error / size);
        TestContext.Current.TestOutputHelper?.WriteLine($"relative error {relative:0.0e0}, tolerance {Tolerance:0.0e0}");
        relative.ShouldBeLessThan(Tolerance);
    }
}

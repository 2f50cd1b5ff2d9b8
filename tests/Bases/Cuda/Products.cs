using Qbb.Bases.Cuda;

namespace Qbb.Bases.Tests.Cuda;

internal static class Products
{
    /// <summary>Most relative error ‖y − ŷ‖/‖y‖ of a product before its rounding to the output's type.</summary>
    public const double Tolerance = 1e-3;

    /// <summary>Runs a kernel's source on the CPU over random bases and inputs, and compares with the definition.</summary>
    /// <param name="count">N.</param>
    /// <param name="rows">out.</param>
    /// <param name="columns">in.</param>
    /// <param name="group">Columns that share a scale.</param>
    /// <param name="bias">Whether groups have one.</param>
    /// <param name="tokens">Rows of x.</param>
    /// <param name="bfloat">bf16, else fp16.</param>
    /// <param name="addend">Shape of what is added to the product.</param>
    /// <param name="run">Given the packed bases, x, the addend and where y goes.</param>
    public static void CheckEmulated(
        int count, int rows, int columns, int group, bool bias, int tokens, bool bfloat, long[] addend, Action<PackedBases, Tensor, Tensor, Tensor> run)
    {
        using var scope = NewDisposeScope();
        var seed = Environment.TickCount;
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var bases = RandomBases.Create(seed, count, rows, columns, group, bias);
        using var packed = Packing.Pack(bases, torch.CPU);
        var type = bfloat ? ScalarType.BFloat16 : ScalarType.Float16;
        using var generator = new Generator((ulong)seed);
        var x = (randn([tokens, columns], generator: generator) * 3).to(type);
        var added = randn(addend, generator: generator).to(type);
        var y = full([tokens, rows], double.NaN, type, torch.CPU);
        run(packed, x, added, y);
        Check(bases, x, added, y);
    }

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

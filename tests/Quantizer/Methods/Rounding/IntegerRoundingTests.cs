using Qbb.Quantizer.Methods.Rounding;

namespace Qbb.Quantizer.Tests.Methods.Rounding;

public class IntegerRoundingTests(ITestOutputHelper output)
{
    /// <summary>The plain scale, which clips nothing, in double.</summary>
    private static double PlainError(float[] w, int bits)
    {
        var most = (1 << (bits - 1)) - 1;
        var scale = (double)(Half)(w.Max(Math.Abs) / most);
        return w.Sum(value => Math.Pow(value - scale * Math.Clamp(Math.Round(value / scale), -most - 1, most), 2));
    }

    [Theory]
    [InlineData(4), InlineData(6), InlineData(8)]
    public void The_error_is_at_most_that_of_the_plain_scale(int bits)
    {
        const int seed = 3;
        var random = new Random(seed);
        var (most, better) = ((1 << (bits - 1)) - 1, 0.0);
        for (var trial = 0; trial < 300; trial++)
        {
            var w = Enumerable.Range(0, 1 + random.Next(128)).Select(_ => (float)(random.NextDouble() + random.NextDouble() - 1)).ToArray();
            var q = new sbyte[w.Length];
            var (scale, error) = IntegerRounding.Round(w, bits, q);
            var measured = w.Zip(q, (value, code) => Math.Pow(value - (double)scale * code, 2)).Sum();
            error.ShouldBe(measured, 1e-5 * measured + 1e-12);
            var plain = PlainError(w, bits);
            measured.ShouldBeLessThanOrEqualTo(plain * (1 + 1e-5) + 1e-12, $"seed {seed}, trial {trial}");
            // |w − ŵ| ≤ s/2 of the plain scale in the mean of squares, and what rounding that scale to fp16 adds.
            Math.Sqrt(measured / w.Length).ShouldBeLessThan(0.56 * w.Max(Math.Abs) / most + 1e-7);
            q.ShouldAllBe(code => code >= -most - 1 && code <= most);
            better += 1 - measured / Math.Max(plain, 1e-30);
        }
        output.WriteLine($"{bits} bits: mean error {better / 300:p1} below that of the plain scale");
        better.ShouldBeGreaterThan(bits == 8 ? 5 : 30);
    }

    [Fact]
    public void Groups_that_were_rounded_to_8_bits_before_come_back_exactly()
    {
        var random = new Random(5);
        for (var trial = 0; trial < 200; trial++)
        {
            var scale = (Half)(random.NextDouble() * 0.01 + 1e-4);
            var codes = Enumerable.Range(0, 32).Select(k => k == trial % 32 ? -127 : random.Next(-127, 128)).ToArray();
            var w = codes.Select(code => code * (float)scale).ToArray();
            var q = new sbyte[32];
            var (found, error) = IntegerRounding.Round(w, 8, q);
            error.ShouldBe(0);
            w.Zip(q, (value, code) => value - code * (float)found).ShouldAllBe(difference => difference == 0);
        }
    }

    [Fact]
    public void Zeros_stay_zeros()
    {
        var q = new sbyte[] { 1, 1, 1 };
        IntegerRounding.Round(new float[3], 4, q).ShouldBe(((Half)0, 0.0));
        q.ShouldBe(new sbyte[3]);
    }
}

using Qbb.Quantizer.Methods.Lattice;

namespace Qbb.Quantizer.Tests.Methods.Lattice;

public class E8CodebookTests
{
    private static readonly float[][] All = [.. Enumerable.Range(0, 65536).Select(code => Decoded((ushort)code))];

    [Fact]
    public void E8P_is_256_vectors_of_odd_halves_with_signs_of_even_sum_and_a_shift()
    {
        All.Select(vector => string.Join(' ', vector)).Distinct().Count().ShouldBe(65536);
        All.Count(IsOfTheLattice).ShouldBe(65536);
        var norms = All.Where((_, code) => code < 256).Select(vector => vector.Sum(value => (value - 0.25f) * (value - 0.25f))).ToList();
        norms.Count(norm => norm <= 10).ShouldBe(227);
        norms.Count(norm => norm == 12).ShouldBe(29);
    }

    private static bool IsOfTheLattice(float[] vector)
    {
        var shift = vector.All(value => float.IsOddInteger(2 * (value - 0.25f))) ? 0.25f : -0.25f;
        return vector.All(value => float.IsOddInteger(2 * (value - shift))) && float.IsEvenInteger(vector.Sum(value => value - shift));
    }

    [Fact]
    public void The_nearest_code_is_that_of_a_search_through_all()
    {
        var random = new Random(3);
        for (var trial = 0; trial < 60; trial++)
        {
            var size = trial % 3 + 0.5;
            float[] x = [.. Enumerable.Range(0, 8).Select(_ => (float)(size * Gauss(random)))];
            Distance(All[E8Codebook.Nearest(x)], x).ShouldBe(All.Min(vector => Distance(vector, x)), 1e-5);
            var values = new float[8];
            E8Codebook.DecodeLattice(E8Codebook.NearestOfLattice(x), values);
            Distance(values, x).ShouldBe(Enumerable.Range(0, 256).Min(code =>
            {
                var one = new float[8];
                E8Codebook.DecodeLattice((byte)code, one);
                return Distance(one, x);
            }), 1e-5);
        }
    }

    [Fact]
    public void The_8_bit_codes_are_the_short_elements_of_E8()
    {
        var all = new List<float[]>();
        for (var code = 0; code < 256; code++)
        {
            var vector = new float[8];
            E8Codebook.DecodeLattice((byte)code, vector);
            all.Add(vector);
            float.IsEvenInteger(vector.Sum()).ShouldBeTrue();
            (vector.All(float.IsInteger) || vector.All(value => float.IsOddInteger(2 * value))).ShouldBeTrue();
        }
        all.Select(vector => string.Join(' ', vector)).Distinct().Count().ShouldBe(256);
        all.CountBy(vector => vector.Sum(value => value * value)).OrderBy(norm => norm.Key).Select(norm => norm.Value).ShouldBe([1, 240, 15]);
    }

    /// <summary>The factors are least squares for Gaussian weights, to the 3 % at which the error hardly changes.</summary>
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Other_factors_err_more(int bits)
    {
        var (scale, residual) = LatticeCode.FactorsOf(bits);
        var error = Error(bits, scale, residual);
        TestContext.Current.TestOutputHelper!.WriteLine($"{bits} bits: {error:0.00000} of a Gaussian weight's square");
        foreach (var factor in new[] { 0.93f, 1.07f })
        {
            Error(bits, scale * factor, residual).ShouldBeGreaterThan(error);
            if (bits > 2)
                Error(bits, scale, residual * factor).ShouldBeGreaterThan(error);
        }
        // What scalar grids of these bits reach at best on Gaussian weights.
        error.ShouldBeLessThan(bits switch { 2 => 0.1175, 3 => 0.03454, _ => 0.009497 });
    }

    private static double Error(int bits, float scale, float residual)
    {
        var (random, code, sum) = (new Random(1), new LatticeCode(bits, (scale, residual)), 0.0);
        const int Blocks = 4000;
        var (x, values) = (new double[8], new double[8]);
        for (var k = 0; k < Blocks; k++)
        {
            for (var i = 0; i < 8; i++)
                x[i] = Gauss(random);
            code.Round(x, values);
            for (var i = 0; i < 8; i++)
                sum += (x[i] - values[i]) * (x[i] - values[i]);
        }
        return sum / (8 * Blocks);
    }

    private static float[] Decoded(ushort code)
    {
        var values = new float[8];
        E8Codebook.Decode(code, values);
        return values;
    }

    private static double Distance(float[] a, float[] b) => a.Zip(b, (x, y) => (double)(x - y) * (x - y)).Sum();

    private static double Gauss(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}

using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.Rounding;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Alternating;

/// <summary>
/// Relative errors on 128 rows of 4096 against known values: at most 2 % worse. Greedy signs have no freedom to be better, so
/// they are compared both ways. With five degrees of freedom the greedy columns hang on a few largest weights: over nine
/// samples they came out 1 % below to 5 % above the known values, which are those of one sample, so 6 % is allowed there.
/// </summary>
public class ErrorTableTests
{
    private const int Rows = 128;
    private const int Columns = 4096;
    private static readonly Lazy<float[]> Gauss = new(() => Synthetic.Gaussian(Rows * Columns, 1));
    private static readonly Lazy<float[]> Student = new(() => Synthetic.StudentT5(Rows * Columns, 1));

    /// <summary>
    /// Weights; columns of a group or 0 for the row; N; RTN, RTN with clip search, greedy, greedy + LS, alternating, uniform start with
    /// bias.
    /// </summary>
    public static TheoryData<string, int, int, double[]> Table => new()
    {
        { "Gauss", 0, 2, [.4643, .1484, .1300, .1245, .1168, .1173] },
        { "Gauss", 0, 3, [.0916, .0407, .0587, .0541, .0372, .0382] },
        { "Gauss", 0, 4, [.0197, .0119, .0330, .0288, .0118, .0116] },
        { "Gauss", 128, 2, [.2521, .1361, .1275, .1216, .1131, .1096] },
        { "Gauss", 128, 3, [.0463, .0349, .0574, .0522, .0348, .0315] },
        { "Gauss", 128, 4, [.0102, .0090, .0317, .0269, .0107, .0082] },
        { "Student", 128, 2, [.3535, .1832, .2131, .1986, .1677, .1582] },
        { "Student", 128, 3, [.0812, .0595, .1343, .1180, .0539, .0505] },
        { "Student", 128, 4, [.0177, .0159, .0940, .0794, .0164, .0137] },
    };

    [Theory]
    [MemberData(nameof(Table))]
    public void Errors_are_those_of_the_table_or_less(string weights, int group, int bases, double[] expected)
    {
        var layer = new LayerWeights(weights, Rows, Columns, weights == "Gauss" ? Gauss.Value : Student.Value);
        int? size = group == 0 ? null : group;
        var plain = new Recipe { Bases = bases, Group = size, Bias = false };
        var errors = new ILayerMethod[]
        {
            new RtnMethod(bases, size, clipSearch: false),
            new RtnMethod(bases, size, clipSearch: true),
            new BasesMethod(plain with { Refinement = Refinement.None }),
            new BasesMethod(plain with { Rounds = 0 }),
            new BasesMethod(plain with { Starts = Starts.Greedy }),
            new BasesMethod(plain with { Starts = Starts.Uniform, Bias = true }),
            new BasesMethod(plain with { Bias = true }),
        }.Select(method => method.Quantize(layer).Report.RelativeError).ToArray();
        TestContext.Current.TestOutputHelper!.WriteLine($"found    {string.Join("  ", errors.Select(error => error.ToString("f4")))}");
        TestContext.Current.TestOutputHelper!.WriteLine($"expected {string.Join("  ", expected.Select(error => error.ToString("f4")))}");

        var greedy = weights == "Gauss" ? 0.02 : 0.06;
        for (var k = 0; k < expected.Length; k++)
            errors[k].ShouldBeLessThan(expected[k] * (1 + (k is 2 or 3 ? greedy : 0.02)), $"column {k}");
        errors[2].ShouldBe(expected[2], expected[2] * greedy);
        errors[3].ShouldBe(expected[3], expected[3] * greedy);
        errors[6].ShouldBeLessThanOrEqualTo(errors[5] * 1.001);
        // What the whole project rests on.
        errors[6].ShouldBeLessThan(Math.Min(errors[0], errors[1]));
    }

    [Fact]
    public void One_basis_leaves_one_minus_two_over_pi_of_gaussian_weights()
    {
        var layer = new LayerWeights("w", Rows, Columns, Gauss.Value);
        foreach (var refinement in new[] { Refinement.None, Refinement.Alternating })
        {
            var recipe = new Recipe { Bases = 1, Group = null, Bias = false, Refinement = refinement };
            var error = new BasesMethod(recipe).Quantize(layer).Report.RelativeError;
            error.ShouldBe(1 - 2 / Math.PI, 0.001);
        }
    }
}

using Qbb.Quantizer.Methods.Alternating;

namespace Qbb.Quantizer.Tests.Methods.Alternating;

public class GroupFitTests
{
    [Fact]
    public void Normalizing_keeps_every_value_and_makes_scales_fall()
    {
        double[] scales = [0.5, -2, 1];
        foreach (var order in new[] { new[] { 0, 1, 2 }, [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0] })
        {
            var fit = new GroupFit(3, 8);
            fit.Resize(8);
            fit.Beta = 0.25;
            for (var basis = 0; basis < 3; basis++)
                fit.Alpha[basis] = scales[order[basis]];
            for (var code = 0; code < 8; code++)
                fit.Codes[code] = (byte)code;
            var before = Values(fit);

            fit.Normalize();

            fit.Alpha.ShouldBe([2, 1, 0.5]);
            Values(fit).ShouldBe(before);
        }
    }

    private static double[] Values(GroupFit fit)
    {
        var levels = new double[1 << fit.Bases];
        fit.Levels(levels);
        return fit.Codes.ToArray().Select(code => levels[code]).ToArray();
    }
}

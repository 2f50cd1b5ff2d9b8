using Qbb.Models.Generation;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Alternating;

public class InitialSignsTests
{
    [Fact]
    public void Cascaded_signs_and_scales_equal_the_plain_form()
    {
        for (var length = 1; length <= 70; length++)
        {
            var w = Synthetic.StudentT5(length, (ulong)length);
            var fit = new GroupFit(4, 70);
            var squares = new double[4];
            InitialSigns.Cascaded(w, fit, new double[70], squares);

            var alpha = new double[4];
            var codes = new byte[length];
            InitialSigns.ReferenceCascaded(w, alpha, codes);
            fit.Codes.ToArray().ShouldBe(codes);
            for (var count = 1; count <= 4; count++)
            {
                fit.Alpha[count - 1].ShouldBe(alpha[count - 1], 1e-12);
                var masked = codes.Select(code => (byte)(code & (1 << count) - 1)).ToArray();
                squares[count - 1].ShouldBe(ReferenceAlternating.SquaredError(w, masked, alpha.AsSpan(0, count), 0), 1e-10);
            }
        }
    }

    [Fact]
    public void The_sign_of_zero_is_plus_one()
    {
        var fit = new GroupFit(2, 8);
        InitialSigns.Cascaded([0f, -0f, 0f, 0f, 0f], fit, new double[8], new double[2]);
        fit.Codes.ToArray().ShouldAllBe(code => code == 3);
        fit.Alpha.ShouldBe([0, 0]);
    }

    [Theory]
    [InlineData(Init.Random)]
    [InlineData(Init.NonCascaded)]
    public void Drawn_signs_are_those_of_the_latents_and_hang_on_the_seed_alone(Init init)
    {
        var w = Synthetic.Gaussian(100, 3);
        var fits = new[] { 1, 1, 2 }.Select(seed =>
        {
            var fit = new GroupFit(3, 100);
            InitialSigns.Drawn(init, w, fit, SplitMix64.For(seed, 5, 7));
            return fit;
        }).ToArray();
        fits[0].Codes.ToArray().ShouldBe(fits[1].Codes.ToArray());
        fits[0].Codes.ToArray().ShouldNotBe(fits[2].Codes.ToArray());
        for (var basis = 0; basis < 3; basis++)
        {
            for (var j = 0; j < w.Length; j++)
                (fits[0].Codes[j] >> basis & 1).ShouldBe(fits[0].Latent(basis)[j] >= 0 ? 1 : 0);
        }
        if (init == Init.NonCascaded)
            fits[0].Latent(0).ToArray().ShouldBe(w);
    }
}

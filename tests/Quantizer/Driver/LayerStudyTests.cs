using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Driver;

public class LayerStudyTests
{
    private static readonly LinearSpec s_spec = new(0, "model.layers.0.self_attn.q_proj", LinearRole.Query, 300, 64, false, null, Fusion.None, []);

    [Fact]
    public void A_layer_is_decomposed_in_every_way()
    {
        var values = Synthetic.Gaussian(300 * 64, 1);
        var study = LayerStudy.Of(s_spec, values, 3, 64);
        study.Rows.ShouldBe(LayerStudy.MostRows);
        study.Inits.Select(init => init.Init).ShouldBe([Init.Random, Init.NonCascaded, Init.Cascaded]);
        study.Inits.ShouldAllBe(init => init.After < init.Before);
        // Signs of nothing hold almost nothing of the weight; three of its own signs little more than one.
        study.Inits[0].Before.ShouldBeInRange(0.85, 1);
        study.Inits[1].Before.ShouldBeInRange(0.2, 1 - 2 / Math.PI);
        study.Inits[2].Before.ShouldBeLessThan(0.07);
        study.Iterative.ShouldBe(study.Inits[2].After);
        study.Iterative.ShouldBeLessThan(study.Inits[2].Before);
        study.Simultaneous.ShouldBeLessThan(study.Inits[2].Before);
        study.Alternating.ShouldBe(study.ErrorOfBases[2]);
        study.Alternating.ShouldBeLessThan(study.Iterative);
        study.FlippedSigns.Count.ShouldBe(3);
        study.FlippedSigns.ShouldAllBe(share => share >= 0 && share < 0.5);
        study.ErrorOfBases.Count.ShouldBe(LayerStudy.MostBases);
        study.ErrorOfBases.ShouldBe(study.ErrorOfBases.OrderDescending());
        study.ShouldBe(LayerStudy.Of(s_spec, values, 3, 64, threads: 1) with { Inits = study.Inits, FlippedSigns = study.FlippedSigns, ErrorOfBases = study.ErrorOfBases });
    }

    [Fact]
    public void Figures_are_those_of_the_method_that_quantizes_and_their_rows_are_spread_over_the_layer()
    {
        var values = Synthetic.Gaussian(300 * 64, 2);
        var study = LayerStudy.Of(s_spec, values, 2, 32);
        int[] rows = [.. Enumerable.Range(0, 256).Select(k => k * 300 / 256)];
        var weights = new LayerWeights("w", 256, 64, rows.SelectMany(row => values[(row * 64)..(row * 64 + 64)]).ToArray());
        study.Alternating.ShouldBe(new BasesMethod(new Recipe { Bases = 2, Group = 32 }).Quantize(weights).Report.RelativeError);
        study.Inits[2].Before.ShouldBe(new BasesMethod(new Recipe { Bases = 2, Group = 32, Refinement = Refinement.None }).Quantize(weights).Report.InitErrorPerBase[1]);
    }

    [Fact]
    public void The_layers_of_three_blocks_are_looked_at()
    {
        using var source = ModelSource.Open(Path.Combine(Reference.Root, "samples", "teacher"));
        var layers = LayerStudy.LayersOf(DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors));
        layers.Count.ShouldBe(3 * 7);
        layers.Select(layer => layer.Block).Distinct().ShouldBe([0, 4, 7]);
        using var small = ModelSource.Open(Reference.Path("architectures", "llama-mha"));
        LayerStudy.LayersOf(DecoderLayout.Resolve(DecoderConfig.FromJson(small.ConfigJson), small.Tensors)).Select(layer => layer.Block).Distinct().ShouldBe([0, 1]);
    }
}

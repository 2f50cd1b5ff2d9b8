using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.Rounding;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Driver;

/// <summary>Layers of pretrained models.</summary>
public class RealModelTests
{
    [Theory]
    [InlineData("stories260k", 1)]
    [InlineData("babyllama-tok361", 1)]
    [InlineData("smollm2-135m-instruct", 29)]
    public void Alternating_beats_rounding_to_nearest_in_weight_error_on_every_layer(string name, int everyBlock)
    {
        using var source = ModelSource.Open(Reference.Shared("models", name));
        foreach (var spec in Linears(source).Where(spec => spec.Block % everyBlock == 0))
        {
            var layer = Read(source, spec);
            for (var bases = 2; bases <= 4; bases++)
            {
                var error = new BasesMethod(new Recipe { Bases = bases, Group = 128 }).Quantize(layer).Report.RelativeError;
                foreach (var clipSearch in new[] { false, true })
                {
                    var rounded = new RtnMethod(bases, 128, clipSearch).Quantize(layer).Report.RelativeError;
                    error.ShouldBeLessThan(rounded, $"{spec.Module}, {bases}, clip search {clipSearch}");
                }
            }
        }
    }

    /// <summary>The file is of type Q4_1: groups of 32 on uniform grids of 16 values.</summary>
    [Fact]
    public void SmolLM2_is_found_again_at_four_bases_in_groups_of_32()
    {
        using var source = ModelSource.Open(Reference.Shared("models", "smollm2-135m-instruct"));
        foreach (var spec in Linears(source).Where(spec => spec.Block % 29 == 0))
            new BasesMethod(new Recipe { Bases = 4, Group = 32 }).Quantize(Read(source, spec))
                .Report.RelativeError.ShouldBeLessThan(1e-6, spec.Module);
    }

    private static IEnumerable<LinearSpec> Linears(ModelSource source) =>
        DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors).Linears;

    private static LayerWeights Read(ModelSource source, LinearSpec spec)
    {
        var values = new float[spec.WeightCount];
        WeightLoader.ReadWeight(source.Tensors, spec, values);
        return new LayerWeights(spec.Weight, spec.OutFeatures, spec.InFeatures, values);
    }
}

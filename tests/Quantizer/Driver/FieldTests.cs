using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Driver;

/// <summary>Checkpoints as people report them (tests/Reference/field), quantized and exported.</summary>
public sealed class FieldTests : IDisposable
{
    private static readonly Recipe s_recipe = new() { Bases = 2, Group = 8, Rounds = 2 };
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Buffers_that_no_type_holds_are_left_out()
    {
        new ModelQuantizer(s_recipe).Run(Reference.Path("field", "neox-buffers-fp32"), _folder.File("quantized"));
        using (var source = ModelSource.Open(Reference.Path("field", "neox-buffers-fp32")))
        {
            source.Tensors.Entries.ShouldContain(entry => entry.Name.EndsWith("masked_bias", StringComparison.Ordinal));
            DenseExport.Write(source, _folder.File("plain"), "F16", force: false);
        }
        foreach (var name in new[] { "quantized", "plain" })
        {
            using var written = ModelSource.Open(_folder.File(name));
            written.Tensors.Entries.ShouldAllBe(entry => !entry.Name.EndsWith("masked_bias", StringComparison.Ordinal) && !entry.Name.EndsWith("attention.bias", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void A_head_of_its_own_is_said_to_be_one_in_what_is_written()
    {
        new ModelQuantizer(s_recipe).Run(Reference.Path("field", "tied-flag-own-head"), _folder.File("quantized"));
        using var source = ModelSource.Open(Reference.Path("field", "tied-flag-own-head"));
        DenseExport.Write(source, _folder.File("plain"), "F32", force: false);
        foreach (var name in new[] { "quantized", "plain" })
        {
            using var written = ModelSource.Open(_folder.File(name));
            ((bool)written.ConfigJson["tie_word_embeddings"]!).ShouldBeFalse();
            written.Tensors.Contains("lm_head.weight").ShouldBeTrue();
        }
    }

    [Fact]
    public void Plain_weights_under_another_methods_name_are_quantized()
    {
        var model = new ModelQuantizer(s_recipe).Run(Reference.Path("field", "leftover-quantization-config"), _folder.File("quantized"));
        model.Layers.Count.ShouldBe(14);
        model.RelativeError.ShouldBe(model.Layers.Average(layer => layer.RelativeError), 1e-12);
    }

    [Fact]
    public void Weights_whose_scales_underflow_are_refused_by_name() =>
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(s_recipe).Run(Reference.Path("field", "weights-tiny"), _folder.File("quantized")))
            .Message.ShouldContain("model.layers.0.mlp.gate_proj.weight: the weights have a root mean square of");

    [Fact]
    public void Rows_whose_scales_underflow_are_warned_of()
    {
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        HalfScales.CheckNotTooSmall("w", [1, -1, 0, 0, 1e-8f, -1e-8f], columns: 2);
        warnings.ShouldHaveSingleItem().ShouldContain("w: 1 of 3 rows");
        HalfScales.CheckNotTooSmall("zeros", new float[6], columns: 2);
        warnings.Count.ShouldBe(1);
    }
}

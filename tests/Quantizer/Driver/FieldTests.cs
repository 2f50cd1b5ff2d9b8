using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Driver;
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

    /// <summary>The same function twice: gate and up times 1 and 2^−24, the norm before them divided by it.</summary>
    [Fact]
    public void Weights_whose_scales_would_underflow_are_quantized_like_others()
    {
        var models = new[] { "weights-as-usual", "weights-tiny" }.Select(name =>
            new ModelQuantizer(s_recipe).Run(Reference.Path("field", name), _folder.File(name))).ToList();
        foreach (var (usual, tiny) in models[0].Layers.Zip(models[1].Layers))
            tiny.RelativeError.ShouldBe(usual.RelativeError, 1e-3 * usual.RelativeError, tiny.Layer);
        models[1].Layers.Single(layer => layer.Layer == "model.layers.0.mlp.gate_proj.weight").SquaredNorm.ShouldBe(
            models[0].Layers.Single(layer => layer.Layer == "model.layers.0.mlp.gate_proj.weight").SquaredNorm * Math.Pow(2, -48), 1e-20);
        using var source = ModelSource.Open(models[1].Folder);
        ScaleExponent.Read(source.Tensors, "model.layers.0.mlp.gate_proj").ShouldBeInRange(-30, -18);
        ScaleExponent.Read(source.Tensors, "model.layers.0.mlp.down_proj").ShouldBe(0);
        var logits = models.Select(model => Logits(model.Folder)).ToList();
        logits[1].Zip(logits[0], (a, b) => Math.Abs(a - b)).Max().ShouldBeLessThan(2e-3f);
    }

    private static float[] Logits(string folder)
    {
        using var source = ModelSource.Open(folder);
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(source));
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        return model.forward(torch.tensor(new long[] { 1, 5, 9, 2, 7 }, 1, 5)).flatten().ToArray<float>();
    }
}

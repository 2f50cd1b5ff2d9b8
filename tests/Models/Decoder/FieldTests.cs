using System.Text.Json;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Tests;
using Qbb.Torch;

namespace Qbb.Models.Tests.Decoder;

/// <summary>Checkpoints as people report them (tests/Reference/field): what loads, with which logits, and what is warned of.</summary>
public class FieldTests(ITestOutputHelper output)
{
    private const double Tolerance = 1e-4;

    [Theory]
    [InlineData("nulls", null)]
    [InlineData("tied-flag-own-head", "lm_head.weight that differs")]
    [InlineData("index-stale-entry", "listed tensors are in no shard")]
    [InlineData("index-omits-tensor", "not in the index")]
    [InlineData("llama-no-o-bias", "biases that the checkpoint lacks: model.layers.0.self_attn.o_proj.bias")]
    [InlineData("leftover-quantization-config", "quantization_config (bitsandbytes) is ignored")]
    [InlineData("gguf-qkv-bias", null)]
    public void Logits_are_right_and_warnings_say_what_was_mended(string name, string? warning)
    {
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        using var source = ModelSource.Open(Reference.Path("field", name));
        using var model = Transformer.Load(source, Device.CPU, ScalarType.Float32);
        var expected = JsonDocument.Parse(File.ReadAllText(Reference.Path("field", name, "expected.json"))).RootElement;
        var ids = expected.GetProperty("ids").Deserialize<long[]>()!;
        var rows = expected.GetProperty("logits").Deserialize<float[][]>()!;
        var logits = model.forward(torch.tensor(ids, 1, ids.Length));
        var difference = (logits - torch.tensor([.. rows.SelectMany(row => row)], 1, rows.Length, rows[0].Length)).abs().max().item();
        output.WriteLine($"{name}: largest difference {difference:E2}, allowed {Tolerance:E0}; warnings: {string.Join("; ", warnings)}");
        difference.ShouldBeLessThan(Tolerance);
        if (warning is null)
            warnings.ShouldBeEmpty();
        else
            warnings.ShouldHaveSingleItem().ShouldContain(warning);
    }
}

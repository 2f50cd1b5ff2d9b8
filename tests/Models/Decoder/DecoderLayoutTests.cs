using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder;

public class DecoderLayoutTests
{
    [Theory]
    [MemberData(nameof(Golden.Rows), MemberType = typeof(Golden))]
    public void Layout_names_every_tensor_of_a_checkpoint(string name)
    {
        using var source = ModelSource.Open(Golden.Folder(name));
        var config = DecoderConfig.FromJson(source.ConfigJson);
        using var named = new RandomCheckpoint(config, 0);
        DecoderLayout.Resolve(config, source.Tensors).ShouldBeEquivalentTo(DecoderLayout.Of(config));
        named.Entries.Select(entry => $"{entry.Name} [{string.Join(", ", entry.Shape)}]").Order()
            .ShouldBe(source.Tensors.Entries.Select(entry => $"{entry.Name} [{string.Join(", ", entry.Shape)}]").Order());
    }

    [Theory]
    [InlineData("gpt2", "transformer.", "")]
    [InlineData("opt", "model.decoder.", "decoder.")]
    [InlineData("opt", "model.decoder.", "")]
    [InlineData("llama-gqa-tied", "model.", "")]
    public void Names_are_found_without_their_prefix(string name, string prefix, string instead)
    {
        using var stored = ModelSource.Open(Golden.Folder(name));
        var config = DecoderConfig.FromJson(stored.ConfigJson);
        using var renamed = new TestCheckpoint();
        foreach (var entry in stored.Tensors.Entries)
        {
            var values = new float[entry.Count];
            stored.Tensors.ReadFloat(entry.Name, 0, values);
            renamed.Add(instead + entry.Name[prefix.Length..], values, [.. entry.Shape]);
        }
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        using var model = Transformer.Load(config, renamed, torch.CPU, ScalarType.Float32);
        var golden = Golden.Of(name);
        golden.Difference(model.forward(golden.Ids())).ShouldBeLessThan(Golden.Tolerance);
    }

    [Fact]
    public void Fused_layers_stay_fused_and_say_what_is_in_them()
    {
        var phi3 = DecoderLayout.Of(Variants.Config("phi3, longrope, window")).Blocks[0];
        phi3.Linears.Select(linear => linear.Role).ShouldBe([LinearRole.QueryKeyValue, LinearRole.AttentionOutput, LinearRole.GateUp, LinearRole.Down]);
        var qkv = phi3.Find(LinearRole.QueryKeyValue)!;
        (qkv.Module, qkv.OutFeatures, qkv.InFeatures, qkv.Fusion).ShouldBe(("model.layers.0.self_attn.qkv_proj", 64, 32, Fusion.Concatenated));
        qkv.Parts.ShouldBe([new(LinearRole.Query, 32), new(LinearRole.Key, 16), new(LinearRole.Value, 16)]);
        DecoderLayout.Of(Variants.Config("gpt_neox, parallel, linear, tied")).Blocks[1].Find(LinearRole.QueryKeyValue)!.Fusion.ShouldBe(Fusion.InterleavedByHead);
    }

    [Fact]
    public void Transposed_weights_are_presented_as_out_by_in()
    {
        using var source = ModelSource.Open(Golden.Folder("gpt2"));
        var spec = DecoderLayout.Of(DecoderConfig.FromJson(source.ConfigJson)).Linears.First();
        (spec.Transposed, spec.OutFeatures, spec.InFeatures).ShouldBe((true, 192, 64));
        var presented = new float[spec.WeightCount];
        WeightLoader.ReadWeight(source.Tensors, spec, presented);
        var stored = new float[spec.WeightCount];
        source.Tensors.ReadFloat(spec.Weight, 0, stored);
        for (var row = 0; row < 192; row++)
        {
            for (var column = 0; column < 64; column++)
                presented[row * 64 + column].ShouldBe(stored[column * 192 + row]);
        }
    }

    [Fact]
    public void A_missing_embedding_names_the_places_looked_at()
    {
        using var empty = new TestCheckpoint();
        Should.Throw<InvalidInputException>(() => DecoderLayout.Resolve(Variants.Config("opt-350m"), empty)).Message.ShouldContain("model.decoder.embed_tokens.weight");
    }
}

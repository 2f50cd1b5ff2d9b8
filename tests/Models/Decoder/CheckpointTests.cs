using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Tests;

namespace Qbb.Models.Tests.Decoder;

public class CheckpointTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("llama-gqa-tied", "F32", 1e-4)]
    [InlineData("llama-gqa-tied", "F16", 0.02)]
    [InlineData("llama-gqa-tied", "BF16", 0.2)]
    [InlineData("gpt2", "BF16", 0.2)]
    [InlineData("phi3", "BF16", 0.2)]
    public void A_saved_model_gives_the_same_logits(string name, string type, double tolerance)
    {
        using var folder = new TemporaryFolder();
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        using (var source = ModelSource.Open(Golden.Folder(name)))
        {
            using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
            model.Save(folder.Path, type);
        }
        using var saved = ModelSource.Open(folder.Path);
        saved.Tensors.Entries.ShouldAllBe(entry => entry.Type == type);
        using var loaded = Transformer.Load(saved, torch.CPU, ScalarType.Float32);
        var golden = Golden.Of(name);
        var difference = golden.Difference(loaded.forward(golden.Ids()));
        output.WriteLine($"{name} as {type}: largest difference {difference:E2}, allowed {tolerance:E0}");
        difference.ShouldBeLessThan(tolerance);
    }

    [Fact]
    public void Shards_give_the_same_logits()
    {
        const string name = "qwen2";
        using var folder = new TemporaryFolder();
        using (var source = ModelSource.Open(Golden.Folder(name)))
            WriteShards(source.Tensors, folder.Path);
        File.Copy(Path.Combine(Golden.Folder(name), "config.json"), Path.Combine(folder.Path, "config.json"));
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        using var shards = ModelSource.Open(folder.Path);
        using var model = Transformer.Load(shards, torch.CPU, ScalarType.Float32);
        var golden = Golden.Of(name);
        golden.Difference(model.forward(golden.Ids())).ShouldBeLessThan(Golden.Tolerance);
    }

    [Fact]
    public void Half_precision_computes()
    {
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        var golden = Golden.Of("gemma");
        using var source = ModelSource.Open(Golden.Folder("gemma"));
        using var model = Transformer.Load(source, torch.CPU, ScalarType.BFloat16);
        var logits = model.forward(golden.Ids());
        logits.dtype.ShouldBe(ScalarType.BFloat16);
        var difference = golden.Difference(logits);
        output.WriteLine($"bf16: largest difference {difference:E2}, allowed 0.3");
        difference.ShouldBeLessThan(0.3);
    }

    [Fact]
    public unsafe void Weights_of_the_same_type_are_views_of_the_file()
    {
        using var source = ModelSource.Open(Golden.Folder("llama-mha"));
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        using var own = Transformer.Load(source, torch.CPU, ScalarType.Float32, own: true);
        foreach (var (name, value) in model.Parameters())
        {
            source.Tensors.TryGetPointer(name, out var pointer).ShouldBeTrue();
            value.data_ptr().ShouldBe((nint)pointer, name);
        }
        foreach (var (name, value) in own.Parameters())
        {
            source.Tensors.TryGetPointer(name, out var pointer).ShouldBeTrue();
            value.data_ptr().ShouldNotBe((nint)pointer, name);
        }
    }

    [Fact]
    public void A_block_loads_by_itself()
    {
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        using var source = ModelSource.Open(Golden.Folder("qwen3"));
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        using var block = TransformerBlock.Load(model.Config, model.Layout.Blocks[1], source.Tensors, torch.CPU, ScalarType.Float32);
        using var context = model.Context(2, 5);
        var x = torch.randn([2, 5, model.Config.HiddenSize]);
        (block.forward(x, context) - model.Blocks[1].forward(x, context)).abs().max().ToDouble().ShouldBe(0);
    }

    [Fact]
    public void Random_checkpoints_are_the_same_in_any_order()
    {
        using var checkpoint = new RandomCheckpoint(Variants.Config("gemma, untied, relu"), seed: 5);
        const string name = "model.layers.1.mlp.up_proj.weight";
        var whole = new float[checkpoint.Describe(name).Count];
        checkpoint.ReadFloat(name, 0, whole);
        var part = new float[10];
        checkpoint.ReadFloat(name, 100, part);
        part.ShouldBe(whole[100..110]);
        ((double)whole.Average()).ShouldBe(0, 0.002);
        whole.Average(value => (double)value * value).ShouldBe(0.02 * 0.02, 0.00004);
        using var other = new RandomCheckpoint(Variants.Config("gemma, untied, relu"), seed: 6);
        other.ReadFloat(name, 100, part);
        part.ShouldNotBe(whole[100..110]);
    }

    [Fact]
    public void A_missing_tensor_is_named()
    {
        var config = Variants.Config("llama, linear");
        using var source = TestCheckpoint.Random(config, 1);
        source.Remove("model.layers.1.mlp.up_proj.weight");
        Should.Throw<InvalidInputException>(() => Transformer.Load(config, source, torch.CPU, ScalarType.Float32)).Message.ShouldContain("model.layers.1.mlp.up_proj.weight");
    }

    [Fact]
    public void A_tensor_of_another_shape_is_named()
    {
        var config = Variants.Config("llama, linear");
        using var source = TestCheckpoint.Random(config, 1);
        source.Add("model.norm.weight", new float[33], 33);
        var message = Should.Throw<InvalidInputException>(() => Transformer.Load(config, source, torch.CPU, ScalarType.Float32)).Message;
        message.ShouldContain("model.norm.weight is [33]");
        message.ShouldContain("[32]");
    }

    [Fact]
    public void A_bias_that_the_configuration_denies_is_refused_unless_it_is_zero()
    {
        var config = Variants.Config("llama, linear");
        using var source = TestCheckpoint.Random(config, 1);
        var bias = new float[32];
        source.Add("model.layers.0.self_attn.q_proj.bias", bias, 32);
        Transformer.Load(config, source, torch.CPU, ScalarType.Float32).Dispose();
        bias[31] = 1;
        Should.Throw<InvalidInputException>(() => Transformer.Load(config, source, torch.CPU, ScalarType.Float32)).Message.ShouldContain("q_proj.bias");
    }

    [Fact]
    public void A_bias_that_is_missing_is_zero()
    {
        var config = Variants.Config("gpt_neox, sequential, no attention bias");
        using var source = TestCheckpoint.Random(config, 1);
        string[] biases = [.. source.Entries.Select(entry => entry.Name).Where(name => name.EndsWith(".bias", StringComparison.Ordinal))];
        biases.ShouldContain("gpt_neox.layers.0.input_layernorm.bias");
        biases.ShouldContain("gpt_neox.layers.1.mlp.dense_h_to_4h.bias");
        foreach (var name in biases)
            source.Add(name, new float[source.Describe(name).Count], [.. source.Describe(name).Shape]);
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        var ids = torch.tensor([1L, 5L, 9L], 1, 3);
        using var zeros = Transformer.Load(config, source, torch.CPU, ScalarType.Float32);
        var expected = zeros.forward(ids);
        foreach (var name in biases)
            source.Remove(name);
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        using var without = Transformer.Load(config, source, torch.CPU, ScalarType.Float32);
        (without.forward(ids) - expected).abs().max().ToDouble().ShouldBe(0, 1e-6);
        warnings.ShouldHaveSingleItem().ShouldContain($"{biases.Length} biases that the checkpoint lacks");
    }

    [Fact]
    public void Tokens_outside_the_vocabulary_are_refused()
    {
        using var model = Transformer.Create(Variants.Config("llama, linear"), seed: 1);
        using var scope = torch.NewDisposeScope();
        Should.Throw<InvalidInputException>(() => model.forward(torch.tensor([1L, 40L], 1, 2))).Message.ShouldContain("40");
        Should.Throw<InvalidInputException>(() => model.forward(torch.tensor([-1L], 1, 1))).Message.ShouldContain("-1");
    }

    [Fact]
    public void More_tokens_than_learned_positions_are_refused()
    {
        using var model = Transformer.Create(Variants.Config("opt-350m"), seed: 1);
        using var scope = torch.NewDisposeScope();
        Should.Throw<InvalidInputException>(() => model.forward(torch.zeros([1, 41], ScalarType.Int64))).Message.ShouldContain("40 positions");
    }

    private static void WriteShards(ITensorSource source, string folder)
    {
        var halves = source.Entries.Chunk(source.Entries.Count / 2 + 1).ToArray();
        var map = new JsonObject();
        for (var shard = 0; shard < halves.Length; shard++)
        {
            var file = $"model-{shard + 1:D5}-of-{halves.Length:D5}.safetensors";
            using var writer = SafetensorsWriter.Create(Path.Combine(folder, file), halves[shard].Select(entry => new TensorDeclaration(entry.Name, "F32", entry.Shape)));
            foreach (var entry in halves[shard])
            {
                var values = new float[entry.Count];
                source.ReadFloat(entry.Name, 0, values);
                writer.Write(entry.Name, values);
                map[entry.Name] = file;
            }
            writer.Commit();
        }
        File.WriteAllText(Path.Combine(folder, "model.safetensors.index.json"), new JsonObject { ["weight_map"] = map }.ToJsonString());
    }
}

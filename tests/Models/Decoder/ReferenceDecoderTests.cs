using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder;

public class ReferenceDecoderTests(ITestOutputHelper output)
{
    [Theory]
    [MemberData(nameof(Golden.Rows), MemberType = typeof(Golden))]
    public void Reference_agrees_with_transformers(string name)
    {
        using var source = ModelSource.Open(Golden.Folder(name));
        var golden = Golden.Of(name);
        var reference = new ReferenceDecoder(source.ConfigJson, source.Tensors);
        for (var sequence = 0; sequence < golden.InputIds.Length; sequence++)
        {
            var logits = reference.Logits(golden.InputIds[sequence]);
            var difference = golden.Positions.Select((position, i) => Difference(logits[position], golden.Logits[sequence][i].Select(value => (double)value))).Max();
            output.WriteLine($"{name}, sequence {sequence}: largest difference {difference:E2}, allowed 1e-5");
            difference.ShouldBeLessThan(1e-5);
        }
    }

    [Theory]
    [MemberData(nameof(Variants.Rows), MemberType = typeof(Variants))]
    public void Decoder_agrees_with_reference(string variant)
    {
        const int seed = 11;
        var config = Variants.Config(variant);
        using var source = TestCheckpoint.Random(config, seed);
        using var model = Transformer.Load(config, source, torch.CPU, ScalarType.Float64);
        using var grad = torch.no_grad();
        // Below and beyond the lengths at which dynamic scaling and longrope change.
        foreach (var length in new[] { 1, 8, 9, 16, 17, 31 })
        {
            using var scope = torch.NewDisposeScope();
            var ids = Enumerable.Range(0, length).Select(i => (long)(i * 17 % 40)).ToArray();
            var expected = new ReferenceDecoder(config.Json, source).Logits(ids);
            var logits = model.forward(torch.tensor(ids, 1, length)).view(-1).ToArray<double>();
            var difference = Difference(logits, expected.SelectMany(row => row));
            var size = expected.Max(row => row.Max(Math.Abs));
            output.WriteLine($"{variant}, {length} tokens, seed {seed}: largest difference {difference:E2} of {size:F1}, allowed 1e-5");
            difference.ShouldBeLessThan(1e-5);
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData(100)]
    [InlineData(300)]
    public void Chunks_of_attention_agree_with_reference(int? window)
    {
        const int seed = 12;
        const int length = 600;
        var json = $$"""
            { "model_type": "mistral", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 20,
              "max_position_embeddings": 1000, "rms_norm_eps": 1e-6, "hidden_act": "silu", "sliding_window": {{window?.ToString() ?? "null"}} }
            """;
        var config = DecoderConfig.FromJson(System.Text.Json.Nodes.JsonNode.Parse(json)!.AsObject());
        using var source = TestCheckpoint.Random(config, seed);
        using var model = Transformer.Load(config, source, torch.CPU, ScalarType.Float64);
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        var ids = Enumerable.Range(0, length).Select(i => (long)(i * 7 % 20)).ToArray();
        var expected = new ReferenceDecoder(config.Json, source).Logits(ids).SelectMany(row => row).ToArray();
        Check(model.forward(torch.tensor(ids, 1, length)));

        // The same through a cache, in pieces that are no chunks.
        using var cache = new KvCache(config, 1, length, torch.CPU, ScalarType.Float64);
        Check(torch.cat([.. ids.Chunk(270).Select(piece => model.forward(torch.tensor(piece, 1, piece.Length), cache))], 1));

        void Check(Tensor logits)
        {
            var difference = Difference(logits.view(-1).ToArray<double>(), expected);
            output.WriteLine($"window {window}, seed {seed}: largest difference {difference:E2}, allowed 1e-4");
            // 600 positions times the rounding of the angles to float.
            difference.ShouldBeLessThan(1e-4);
        }
    }

    private static double Difference(IEnumerable<double> a, IEnumerable<double> b) => a.Zip(b, (x, y) => Math.Abs(x - y)).Max();
}

using System.Text.Json.Nodes;
using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder;

public class KvCacheTests(ITestOutputHelper output)
{
    private const double Tolerance = 1e-10;

    public static IEnumerable<TheoryDataRow<string>> Rows => Golden.Rows.Concat(Variants.Rows);

    /// <summary>Beyond 8 and 16 tokens frequencies of dynamic scaling and longrope change; windows slide.</summary>
    [Theory]
    [MemberData(nameof(Rows))]
    public void Logits_with_a_cache_equal_those_of_the_whole_sequence(string name)
    {
        using var model = Model(name);
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        const int total = 19;
        var ids = torch.tensor([.. Enumerable.Range(0, 2 * total).Select(i => (long)(i * 13 % 40))], 2, total);
        using var cache = new KvCache(model.Config, 2, total, torch.CPU, ScalarType.Float64);
        var worst = 0.0;
        foreach (var count in new[] { 7, 1, 1, 6, 1, 1, 2 })
        {
            using var inner = torch.NewDisposeScope();
            var first = cache.Length;
            var logits = model.forward(ids.narrow(1, first, count), cache);
            var whole = model.forward(ids.narrow(1, 0, first + count)).narrow(1, first, count);
            worst = Math.Max(worst, (logits - whole).abs().max().ToDouble());
        }
        cache.Length.ShouldBe(total);
        output.WriteLine($"{name}: largest difference {worst:E2}, allowed {Tolerance:E0}");
        worst.ShouldBeLessThan(Tolerance);
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void Padding_changes_nothing(string name)
    {
        using var model = Model(name);
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        int[] lengths = [7, 10, 3];
        var rows = lengths.Select((length, row) => Enumerable.Range(0, 30).Select(i => (long)((i * 13 + row * 5) % 40)).ToArray()).ToArray();
        int[] padding = [.. lengths.Select(length => 10 - length)];
        using var cache = new KvCache(model.Config, 3, 30, torch.CPU, ScalarType.Float64);
        var prompts = torch.tensor([.. rows.SelectMany((row, i) => new long[padding[i]].Concat(row.Take(lengths[i])))], 3, 10);
        Check(model.forward(prompts, cache, padding), 0);
        Check(model.forward(prompts, padding: padding), 0);
        for (var step = 1; step < 8; step++)
            Check(model.forward(torch.tensor([.. rows.Select((row, i) => row[lengths[i] + step - 1])], 3, 1), cache), step);

        // A row less, in another order.
        cache.Select([2, 0]);
        (rows, lengths) = ([rows[2], rows[0]], [lengths[2], lengths[0]]);
        Check(model.forward(torch.tensor([.. rows.Select((row, i) => row[lengths[i] + 7])], 2, 1), cache), 8);

        void Check(Tensor logits, int steps)
        {
            for (var row = 0; row < rows.Length; row++)
            {
                var alone = model.forward(torch.tensor(rows[row][..(lengths[row] + steps)], 1, lengths[row] + steps));
                var difference = (logits.select(0, row).select(0, logits.size(1) - 1) - alone.select(0, 0).select(0, alone.size(1) - 1)).abs().max().ToDouble();
                difference.ShouldBeLessThan(Tolerance, $"row {row} after {steps} steps");
            }
        }
    }

    [Fact]
    public void More_tokens_than_the_cache_holds_are_refused()
    {
        using var model = Model("llama-mha");
        using var scope = torch.NewDisposeScope();
        using var cache = new KvCache(model.Config, 1, 4, torch.CPU, ScalarType.Float64);
        Should.Throw<InvalidInputException>(() => model.forward(torch.zeros([1, 5], ScalarType.Int64), cache)).Message.ShouldContain("5 tokens");
    }

    private static Transformer Model(string name)
    {
        const int seed = 21;
        var config = Variants.Json.ContainsKey(name)
            ? Variants.Config(name)
            : DecoderConfig.FromJson(JsonNode.Parse(File.ReadAllText(Path.Combine(Golden.Folder(name), "config.json")))!.AsObject());
        using var source = TestCheckpoint.Random(config, seed);
        return Transformer.Load(config, source, torch.CPU, ScalarType.Float64, own: true);
    }
}

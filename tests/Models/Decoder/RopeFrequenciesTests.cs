using System.Text.Json.Nodes;
using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder;

public class RopeFrequenciesTests
{
    /// <summary>LLaMA's numbers: heads of 128, base 10000, context 2048.</summary>
    private static readonly RopeConfig Llama = new() { Dimensions = 128, MaxPositions = 2048, OriginalMaxPositions = 2048 };

    /// <summary>Snapshots in transformers' tests/utils/test_modeling_rope_utils.py, printed there with five digits.</summary>
    [Theory]
    [InlineData(RopeKind.Default, 1, 1, new[] { 1, 16, 31, 63 }, new[] { 8.6596e-01, 1.0000e-01, 1.1548e-02, 1.1548e-04 })]
    [InlineData(RopeKind.Dynamic, 10, 16384, new[] { 1, 16, 31, 63 }, new[] { 8.0931e-01, 3.3872e-02, 1.4176e-03, 1.6265e-06 })]
    [InlineData(RopeKind.Yarn, 10, 1, new[] { 16, 17, 24, 30, 40, 41, 63 }, new[] { 1.0000e-01, 8.3479e-02, 2.2515e-02, 6.6143e-03, 4.3007e-04, 2.7384e-04, 1.1548e-05 })]
    [InlineData(RopeKind.Llama3, 10, 1, new[] { 30, 31, 36, 40, 41, 63 }, new[] { 1.3335e-02, 1.0730e-02, 1.9675e-03, 3.4539e-04, 2.7384e-04, 1.1548e-05 })]
    public void Frequencies_agree_with_published_values(RopeKind kind, double factor, long length, int[] pairs, double[] expected)
    {
        var (frequencies, _) = RopeFrequencies.Of(Llama with { Kind = kind, Factor = factor }, length);
        frequencies.Length.ShouldBe(64);
        for (var i = 0; i < pairs.Length; i++)
            ((double)frequencies[pairs[i]]).ShouldBe(expected[i], 6e-5 * expected[i], $"pair {pairs[i]}");
    }

    [Fact]
    public void Attention_factors_agree_with_the_papers()
    {
        RopeFrequencies.Of(Llama with { Kind = RopeKind.Yarn, Factor = 4 }, 1).AttentionFactor.ShouldBe(0.1 * Math.Log(4) + 1);
        // Phi-3-mini-128k: 131072 positions, trained on 4096.
        var phi3 = Llama with { Kind = RopeKind.LongRope, Factor = 32, OriginalMaxPositions = 4096, ShortFactor = new double[64], LongFactor = new double[64] };
        RopeFrequencies.Of(phi3, 1).AttentionFactor.ShouldBe(1.190238, 1e-6);
        RopeFrequencies.Of(phi3 with { AttentionFactor = 0.5 }, 1).AttentionFactor.ShouldBe(0.5);
    }

    [Fact]
    public void Longrope_switches_beyond_the_trained_context()
    {
        var rope = Llama with
        {
            Dimensions = 4,
            Kind = RopeKind.LongRope,
            OriginalMaxPositions = 100,
            ShortFactor = [1, 2],
            LongFactor = [4, 8],
        };
        RopeFrequencies.Of(rope, 100).InverseFrequencies.ShouldBe([1, 0.005f]);
        RopeFrequencies.Of(rope, 101).InverseFrequencies.ShouldBe([0.25f, 0.00125f]);
        RopeFrequencies.Regime(rope, 100).ShouldNotBe(RopeFrequencies.Regime(rope, 101));
    }

    [Fact]
    public void Dynamic_scaling_begins_beyond_max_positions()
    {
        var rope = Llama with { Kind = RopeKind.Dynamic, Factor = 4 };
        RopeFrequencies.Of(rope, 2048).InverseFrequencies.ShouldBe(RopeFrequencies.Of(Llama, 1).InverseFrequencies);
        RopeFrequencies.Of(rope, 2049).InverseFrequencies[63].ShouldBeLessThan(RopeFrequencies.Of(Llama, 1).InverseFrequencies[63]);
    }

    [Theory]
    [MemberData(nameof(Variants.Rows), MemberType = typeof(Variants))]
    public void Frequencies_agree_with_a_plain_calculation(string variant)
    {
        var config = Variants.Config(variant);
        if (config.Rope is not { } rope)
            return;
        foreach (var length in new[] { 1, 16, 17, 100 })
        {
            var (frequencies, factor) = RopeFrequencies.Of(rope, length);
            var (expected, expectedFactor) = ReferenceRope.Of(config.Json, config.ModelType, config.HeadDimension, length);
            factor.ShouldBe(expectedFactor, 1e-12);
            frequencies.Length.ShouldBe(expected.Length);
            for (var pair = 0; pair < expected.Length; pair++)
                ((double)frequencies[pair]).ShouldBe(expected[pair], 1e-7 * expected[pair]);
        }
    }

    /// <summary>The golden file of llama3 scaling says what its frequencies do; here they stand alone.</summary>
    [Fact]
    public void Frequencies_of_a_stored_config_are_read()
    {
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(Golden.Folder("llama3-rope"), "config.json")))!.AsObject();
        var config = DecoderConfig.FromJson(json);
        config.Rope!.Kind.ShouldBe(RopeKind.Llama3);
        var expected = ReferenceRope.Of(json, "llama", 16, 1).Frequencies;
        RopeFrequencies.Of(config.Rope, 1).InverseFrequencies.ShouldBe([.. expected.Select(value => (float)value)]);
    }
}

using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Qbb.Recipes;

/// <summary>What is sampled from the teacher, and how. Other options give other data.</summary>
public sealed record SamplingOptions
{
    private const int MostSequences = 1 << 24;
    private const int MostLength = 1 << 20;

    /// <summary>Sequences to sample; those that turn out degenerate are left out of the data and are not replaced.</summary>
    public int Sequences { get; init; } = 2048;

    /// <summary>Tokens of a sequence, the first one and a begin-of-text token counted.</summary>
    public int Length { get; init; } = 512;

    /// <summary>Logits are divided by it; 0 takes the likeliest token always.</summary>
    public double Temperature { get; init; } = 1;

    /// <summary>Only so many of the likeliest tokens can be drawn; 0 for all.</summary>
    public int TopK { get; init; }

    /// <summary>Only the likeliest tokens that together have this probability can be drawn, after top-k; 1 for all.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Sequence i draws from a generator seeded by (this, i).</summary>
    public ulong Seed { get; init; }

    public FirstToken First { get; init; } = FirstToken.Uniform;

    /// <summary>End a sequence at the teacher's end-of-text token, which is kept, instead of sampling on behind it.</summary>
    public bool StopAtEos { get; init; }

    /// <summary>Sequences of one file: what an interruption can cost at most.</summary>
    public int ShardSize { get; init; } = 64;

    /// <summary>A sequence with a larger share of repeated 4-grams is degenerate.</summary>
    public double MostRepetition { get; init; } = 0.5;

    /// <summary>Files that the sequences make.</summary>
    [JsonIgnore]
    public int Shards => (Sequences + ShardSize - 1) / ShardSize;

    /// <exception cref="InvalidInputException">Options are out of range; the message names them.</exception>
    public void Validate()
    {
        var problems = Problems().ToList();
        if (problems.Count > 0)
            throw new InvalidInputException(string.Join("; ", problems));
    }

    /// <summary>Reads the part of a recipe.</summary>
    /// <exception cref="InvalidInputException">It cannot be used; the message lists everything that is wrong.</exception>
    public static SamplingOptions FromJson(JsonObject part) => PartJson.Require<SamplingOptions>(part, "sampling", options => options.Problems());

    internal IEnumerable<string> Problems()
    {
        // Length: begin of text, the random token, and one that the teacher drew.
        (string, int, int, int)[] counts =
            [("sequences", Sequences, 1, MostSequences), ("length", Length, 3, MostLength), ("shard-size", ShardSize, 1, MostSequences)];
        foreach (var (name, value, least, most) in counts)
        {
            if (value < least || value > most)
                yield return $"{name} is {value}; it must be {least} to {most}";
        }
        if (!(MostRepetition > 0 && MostRepetition <= 1))
            yield return $"max-repetition is {MostRepetition}; it must be above 0 and at most 1";
        if (!Enum.IsDefined(First))
            yield return "first must be uniform or unigram";
        if (!(Temperature >= 0) || double.IsInfinity(Temperature))
            yield return $"temperature is {Temperature}; it must be 0 (greedy) or a positive number";
        if (TopK < 0)
            yield return $"top-k is {TopK}; it must be 0 (off) or a positive number";
        if (!(TopP > 0 && TopP <= 1))
            yield return $"top-p is {TopP}; it must be above 0 and at most 1";
    }
}

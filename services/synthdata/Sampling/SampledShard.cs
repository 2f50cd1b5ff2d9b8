using System.Text.Json;
using Qbb.Models;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Workers.Data;

namespace Qbb.Synthdata.Sampling;

/// <summary>One finished shard of a run on disk: its sequences, and in the header where they come from and what was left out.</summary>
/// <param name="Path">The file.</param>
/// <param name="Dropped">Sequences that were left out.</param>
internal sealed record SampledShard(string Path, IReadOnlyList<DroppedSequence> Dropped)
{
    private const string OriginKey = "origin";
    private const string DroppedKey = "dropped";

    /// <summary>Numbers of the sequences that a shard is made of.</summary>
    public static IEnumerable<long> Indices(SamplingOptions options, int shard)
    {
        for (var index = (long)shard * options.ShardSize; index < Math.Min((shard + 1L) * options.ShardSize, options.Sequences); index++)
            yield return index;
    }

    /// <summary>Writes a shard; it appears whole or not at all.</summary>
    public static void Write(string path, SamplingOrigin origin, IReadOnlyList<int[]> kept, IReadOnlyList<DroppedSequence> dropped) =>
        ShardFile.Write(path, kept, origin.Options.Length, origin.Options.StopAtEos, new Dictionary<string, string>
        {
            [OriginKey] = origin.ToJson(),
            [DroppedKey] = JsonSerializer.Serialize(dropped, DataJson.Compact),
        });

    /// <summary>The file of some sequences of a shard, until all of them are there.</summary>
    public static string PartOf(int shard, int part) => $"part-{part:00000}-of-{ShardFile.NameOf(shard)}";

    /// <summary>Those files of each shard that has any, in order.</summary>
    public static IEnumerable<(int Shard, List<string> Parts)> PartsIn(string folder, int shards) => Enumerable.Range(0, shards)
        .Select(shard => (shard, Directory.EnumerateFiles(folder, $"part-*-of-{ShardFile.NameOf(shard)}").Order(StringComparer.Ordinal).ToList()))
        .Where(shard => shard.Item2.Count > 0);

    /// <summary>The sequences of a shard, or of a part of one, and what was left out.</summary>
    /// <exception cref="InvalidInputException">The file is missing, damaged or of another origin.</exception>
    public static (IReadOnlyList<int[]> Kept, IReadOnlyList<DroppedSequence> Dropped) Read(string path, SamplingOrigin origin)
    {
        using var file = ShardFile.Open(path, origin.Options.Length);
        if (file.Metadata.GetValueOrDefault(OriginKey) != origin.ToJson())
            throw new InvalidInputException($"{path}: holds sequences that were sampled otherwise", "sample the data anew");
        var dropped = JsonSerializer.Deserialize<List<DroppedSequence>>(file.Metadata.GetValueOrDefault(DroppedKey, "[]"), DataJson.Compact)!;
        return ([.. Enumerable.Range(0, file.Count).Select(file.Read)], dropped);
    }

    /// <summary>The origin that a shard file names; null where it is not a shard that can be read.</summary>
    public static string? OriginOf(string path)
    {
        try
        {
            using var file = Qbb.Checkpoints.SafetensorsFile.Open(path);
            return file.Metadata.GetValueOrDefault(OriginKey);
        }
        catch (InvalidInputException)
        {
            return null;
        }
    }

    /// <summary>A shard that an earlier run finished; null if none is complete.</summary>
    /// <param name="path">The file.</param>
    /// <param name="origin">That it must have.</param>
    /// <param name="shard">Its number.</param>
    public static SampledShard? TryRead(string path, SamplingOrigin origin, int shard)
    {
        if (!File.Exists(path))
            return null;
        try
        {
            using var file = ShardFile.Open(path, origin.Options.Length);
            var json = file.Metadata.GetValueOrDefault(DroppedKey, "null");
            var dropped = JsonSerializer.Deserialize<List<DroppedSequence>>(json, DataJson.Compact);
            var isWhole = dropped is not null && file.Metadata.GetValueOrDefault(OriginKey) == origin.ToJson()
                && file.Count + dropped.Count == Indices(origin.Options, shard).Count();
            return isWhole ? new SampledShard(path, dropped!) : null;
        }
        catch (Exception e) when (e is InvalidInputException or JsonException)
        {
            return null;
        }
    }
}

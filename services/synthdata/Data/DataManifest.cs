using System.Text.Json;
using Qbb.Models;
using Qbb.Synthdata.Filtering;
using Qbb.Synthdata.Quality;
using Qbb.Synthdata.Sampling;
using Qbb.Workers.Data;

namespace Qbb.Synthdata.Data;

/// <summary>
/// <c>manifest.json</c> of a folder of sampled sequences. It is written last: a folder without one is not finished. It holds nothing that
/// differs from run to run (times, places), so that the same choices give the same manifest.
/// </summary>
/// <param name="Format"><see cref="CurrentFormat"/>.</param>
/// <param name="Origin">All that the tokens depend on.</param>
/// <param name="Sequences">Rows in the shards together.</param>
/// <param name="Tokens">Tokens in the shards together, fill-up not counted.</param>
/// <param name="Shards">The files, in order.</param>
/// <param name="Dropped">Sequences that were sampled and left out; in filtered data those of the unfiltered data.</param>
/// <param name="Report">How good the sampled data were; in filtered data that of the unfiltered data.</param>
/// <param name="Filter">What was kept of which data; null where nothing was filtered.</param>
public sealed record DataManifest(
    string Format,
    SamplingOrigin Origin,
    int Sequences,
    long Tokens,
    IReadOnlyList<ShardEntry> Shards,
    IReadOnlyList<DroppedSequence> Dropped,
    QualityReport Report,
    FilterRecord? Filter)
{
    public const string FileName = "manifest.json";

    public const string CurrentFormat = "qbb sampled data 1";

    private const long MostBytes = 1L << 28;

    internal string ToJson() => JsonSerializer.Serialize(this, DataJson.Options) + "\n";

    /// <summary>Writes the manifest into a folder; it appears whole or not at all.</summary>
    internal void Write(string folder)
    {
        var partial = Path.Combine(folder, FileName + ".partial");
        using (var stream = new FileStream(partial, FileMode.Create, FileAccess.Write))
        {
            stream.Write(System.Text.Encoding.UTF8.GetBytes(ToJson()));
            stream.Flush(flushToDisk: true);
        }
        File.Move(partial, Path.Combine(folder, FileName), overwrite: true);
    }

    /// <summary>Reads a manifest; the second value is its bytes.</summary>
    /// <exception cref="InvalidInputException">It cannot be read, or it is not a manifest of this format.</exception>
    internal static (DataManifest Manifest, byte[] Bytes) Read(string path)
    {
        try
        {
            if (new FileInfo(path).Length > MostBytes)
                throw new InvalidInputException($"{path}: larger than {MostBytes >> 20} MiB, which no manifest of sampled data is");
            var bytes = File.ReadAllBytes(path);
            var manifest = JsonSerializer.Deserialize<DataManifest>(bytes, DataJson.Options);
            return manifest?.Format == CurrentFormat
                ? (manifest, bytes)
                : throw new InvalidInputException(
                    $"{path}: is of the format \"{manifest?.Format}\", this version reads \"{CurrentFormat}\"", "sample the data anew");
        }
        catch (Exception e) when (e is JsonException or NotSupportedException)
        {
            throw new InvalidInputException($"{path}: is damaged: {e.Message}", "sample the data anew", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{path}: cannot be read: {e.Message}", e);
        }
    }
}

/// <summary>A sequence that was sampled and left out.</summary>
/// <param name="Index">Its number among all that were requested.</param>
/// <param name="Reason">Why.</param>
/// <param name="Quality">Its figures.</param>
public sealed record DroppedSequence(long Index, DropReason Reason, SequenceQuality Quality);

using System.Text;
using System.Text.Json;
using Qbb.Contracts;

namespace Qbb.Artifacts;

/// <summary>
/// The files of a folder by name. Its canonical JSON (sorted names, no white space) is itself a blob; that blob's digest is the identity of
/// the folder's content.
/// </summary>
public sealed class ArtifactManifest
{
    private const string Format = "qbb manifest 1";
    private const int MostBytes = 64 << 20;

    private readonly byte[] _json;

    /// <param name="files">At least one; names with forward slashes.</param>
    /// <exception cref="ArtifactStoreException">A name is not allowed (<see cref="FileNames"/>), or there is no file.</exception>
    public ArtifactManifest(IEnumerable<KeyValuePair<string, ManifestEntry>> files)
    {
        var sorted = new SortedDictionary<string, ManifestEntry>(StringComparer.Ordinal);
        foreach (var (name, entry) in files)
        {
            FileNames.ThrowIfInvalid(name);
            if (entry.Size < 0 || !sorted.TryAdd(name, entry))
                throw new ArtifactStoreException($"the file {name} is listed twice, or with a negative size");
        }
        if (sorted.Count == 0)
            throw new ArtifactStoreException("a manifest lists at least one file");
        FileNames.ThrowIfFolder(sorted.Keys);
        Files = sorted;
        _json = Write(sorted);
        Digest = Digest.Of(_json);
    }

    /// <summary>The files, sorted by name (ordinal).</summary>
    public IReadOnlyDictionary<string, ManifestEntry> Files { get; }

    /// <summary>The identity: SHA-256 of <see cref="ToJson"/>.</summary>
    public Digest Digest { get; }

    /// <summary>Bytes of all files.</summary>
    public long Size => Files.Values.Sum(file => file.Size);

    /// <summary>The canonical JSON, UTF-8.</summary>
    public ReadOnlyMemory<byte> ToJson() => _json;

    /// <exception cref="ArtifactStoreException">The text is no canonical manifest.</exception>
    public static ArtifactManifest Parse(ReadOnlySpan<byte> json)
    {
        try
        {
            var reader = new Utf8JsonReader(json);
            using var document = JsonDocument.ParseValue(ref reader);
            if (document.RootElement.GetProperty("format").GetString() != Format)
                throw new ArtifactStoreException($"is not a manifest of the format \"{Format}\"");
            var manifest = new ArtifactManifest(document.RootElement.GetProperty("files").EnumerateObject().Select(file => KeyValuePair.Create(
                file.Name, new ManifestEntry(Digest.Parse(file.Value.GetProperty("digest").GetString()), file.Value.GetProperty("size").GetInt64()))));
            // One content has one text, so that its digest is its identity.
            return json.SequenceEqual(manifest._json) ? manifest : throw new ArtifactStoreException("is not a canonical manifest");
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new ArtifactStoreException($"is not a manifest: {error.Message}", error);
        }
    }

    /// <summary>Reads a manifest from a store.</summary>
    /// <exception cref="BlobNotFoundException">It is not there.</exception>
    /// <exception cref="ArtifactStoreException">The blob is not a manifest.</exception>
    public static async Task<ArtifactManifest> ReadAsync(IArtifactStore store, Digest digest, CancellationToken cancellation = default)
    {
        if (await store.FindAsync(digest, cancellation) is { Size: > MostBytes })
            throw new ArtifactStoreException($"the artifact {digest} is not a manifest: it is larger than {MostBytes >> 20} MiB");
        await using var stream = await store.OpenReadAsync(digest, cancellation: cancellation);
        using var bytes = new MemoryStream();
        await stream.CopyToAsync(bytes, cancellation);
        return Parse(bytes.GetBuffer().AsSpan(0, (int)bytes.Length));
    }

    /// <summary>Puts the manifest itself in a store; its files are to be there already.</summary>
    public Task<BlobInfo> PutAsync(IArtifactStore store, CancellationToken cancellation = default) =>
        store.PutAsync(new MemoryStream(_json), Digest, cancellation);

    public override string ToString() => Encoding.UTF8.GetString(_json);

    private static byte[] Write(SortedDictionary<string, ManifestEntry> files)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
        {
            writer.WriteStartObject();
            writer.WriteStartObject("files");
            foreach (var (name, entry) in files)
            {
                writer.WriteStartObject(name);
                writer.WriteString("digest", entry.Digest.Value);
                writer.WriteNumber("size", entry.Size);
                writer.WriteEndObject();
            }
            writer.WriteEndObject();
            writer.WriteString("format", Format);
            writer.WriteEndObject();
        }
        return stream.ToArray();
    }
}

using System.Text;
using System.Text.Json.Nodes;
using Qbb.Artifacts;

namespace Qbb.Registry.Pages;

/// <summary>Small files of a version, for pages that show what is in them. A file that is gone, large or damaged is as none: the page stands without it.</summary>
internal sealed class VersionDocuments(IArtifactStore store)
{
    private const int MostBytes = 2 << 20;

    /// <summary>A text; null where there is none that can be shown.</summary>
    public async Task<string?> TextAsync(VersionView version, string name, CancellationToken cancellation, int most = MostBytes)
    {
        if (version.Files?.FirstOrDefault(file => file.Name == name) is not { } file || file.Size > most)
            return null;
        try
        {
            await using var stream = await store.OpenReadAsync(file.Digest, cancellation: cancellation);
            using var reader = new StreamReader(stream, new UTF8Encoding(false, throwOnInvalidBytes: true));
            return await reader.ReadToEndAsync(cancellation);
        }
        catch (Exception error) when (error is ArtifactStoreException or BlobNotFoundException or DigestMismatchException or DecoderFallbackException or IOException)
        {
            return null;
        }
    }

    public async Task<JsonObject?> JsonAsync(VersionView version, string name, CancellationToken cancellation)
    {
        try
        {
            return await TextAsync(version, name, cancellation) is { } text ? JsonNode.Parse(text) as JsonObject : null;
        }
        catch (System.Text.Json.JsonException)
        {
            return null;
        }
    }
}

using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Artifacts;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Versions;

/// <summary>A small text among a version's files, to read without downloading it.</summary>
internal static class FilePage
{
    private const int MostBytes = 256 << 10;
    private static readonly string[] s_endings = [".json", ".md", ".txt", ".jinja", ".yaml", ".yml"];

    public static bool CanShow(FileEntry file) =>
        file.Size <= MostBytes && s_endings.Any(ending => file.Name.EndsWith(ending, StringComparison.OrdinalIgnoreCase));

    public static async Task<IResult> Show(
        string name, string reference, string file, HttpContext http, VersionDocuments documents, [AsParameters] VersionServices services)
    {
        var row = await services.Finder.VersionAsync(name, reference, services.Cancellation);
        var version = await services.Views.OfVersionAsync(row.Id, services.Cancellation);
        if (version.Files!.FirstOrDefault(entry => entry.Name == file) is not { } found)
            throw RefusedException.NotFound($"{name} version {version.Version} has no file {file}");
        var text = CanShow(found) ? await documents.TextAsync(version, file, services.Cancellation, MostBytes) : null;
        var address = $"/api/models/{name}/versions/{version.Version}/files/{VersionPage.Escape(file)}";
        var content = text is null
            ? Nothing(Markup.Of($"<p>This file cannot be shown as text; it can be downloaded.</p>"))
            : Markup.Of($"""<pre class="file" tabindex="0"><code>{text}</code></pre>""");
        return PageLayout.Page(http, new PageParts(file, Markup.Of($"""
            <p>{Numbers.Bytes(found.Size)}, SHA-256 <code class="digest">{found.Digest.Value}</code>, <a href="{address}" download>Download</a></p>
            {content}
            """))
        {
            Area = Area.Models,
            Above = [("/", "Models"), ($"/models/{name}", name), ($"/models/{name}/versions/{version.Version}", $"Version {version.Version}")],
        });
    }
}

/// <summary>Small files of a version, for pages that show what is in them. A file that is gone, large or damaged is as none: the page stands without it.</summary>
internal sealed class VersionDocuments(IArtifactStore store)
{
    private const int MostBytes = 2 << 20;

    /// <summary>A text; null if there is none that can be shown.</summary>
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
        catch (JsonException)
        {
            return null;
        }
    }
}

using Qbb.Registry.Http;
using Qbb.Registry.Models;
using Qbb.Registry.Pages.Shared;
using static Qbb.Registry.Pages.Shared.Pieces;

namespace Qbb.Registry.Pages;

/// <summary>A small text among a version's files, to read without downloading it.</summary>
internal static class FilePage
{
    private const int MostBytes = 256 << 10;
    private static readonly string[] s_endings = [".json", ".md", ".txt", ".jinja", ".yaml", ".yml"];

    public static bool CanShow(FileEntry file) =>
        file.Size <= MostBytes && s_endings.Any(ending => file.Name.EndsWith(ending, StringComparison.OrdinalIgnoreCase));

    public static async Task<IResult> Show(
        string name, string reference, string file, HttpContext http, ModelFinder finder, Views views, VersionDocuments documents, CancellationToken cancellation)
    {
        var version = await views.OfVersionAsync((await finder.VersionAsync(name, reference, cancellation)).Id, cancellation);
        if (version.Files!.FirstOrDefault(entry => entry.Name == file) is not { } found)
            throw RefusedException.NotFound($"{name} version {version.Version} has no file {file}");
        var text = CanShow(found) ? await documents.TextAsync(version, file, cancellation, MostBytes) : null;
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

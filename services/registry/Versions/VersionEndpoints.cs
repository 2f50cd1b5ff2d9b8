using System.Text;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Models;

/// <summary>Versions and their files. A reference is a number, an alias, or the first digits of the manifest's digest.</summary>
internal static class VersionEndpoints
{
    public static void MapVersions(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/models/{name}/versions").WithTags("versions");
        group.MapGet("/", List).WithSummary("Lists a model's versions, the newest first.");
        group.MapGet("/{reference}", Get).WithSummary("Shows a version with its files.").ProducesProblem(404);
        group.MapGet("/{reference}/manifest", Manifest).WithSummary("The manifest, whose digest is the version's identity.");
        group.MapMethods("/{reference}/files/{**file}", [HttpMethods.Get, HttpMethods.Head], Download)
            .WithSummary("A file, or a range of it.").Produces(200).Produces(206).ProducesProblem(404).Produces(416);
        group.MapDelete("/{reference}", Delete).WithSummary("Deletes a version; it can be restored until the collector has been.").ProducesProblem(409);
        group.MapPost("/{reference}/restore", Restore).WithSummary("Takes a deletion back.");
    }

    private static async Task<Ok<Page<VersionView>>> List(
        string name, int? after, int? limit, RegistryContext context, ModelFinder finder, Views views, CancellationToken cancellation)
    {
        var most = Paging.LimitOf(limit);
        var model = await finder.ModelAsync(name, cancellation);
        var rows = await context.Versions.AsNoTracking().Where(version => version.ModelId == model.Id && version.DeletedAt == null)
            .Where(version => after == null || version.Number < after).OrderByDescending(version => version.Number)
            .Take(most + 1).Select(version => new { version.Id, version.Number }).ToListAsync(cancellation);
        var shown = await views.OfVersionsAsync([.. rows.Take(most).Select(version => version.Id)], files: false, cancellation);
        return TypedResults.Ok(new Page<VersionView>(shown, rows.Count > most ? $"{rows[most - 1].Number}" : null));
    }

    private static async Task<Results<Ok<VersionView>, StatusCodeHttpResult>> Get(
        string name, string reference, ModelFinder finder, Views views, ETags tags, CancellationToken cancellation) =>
        tags.Ok(await views.OfVersionAsync((await finder.VersionAsync(name, reference, cancellation)).Id, cancellation));

    private static async Task<ContentHttpResult> Manifest(
        string name, string reference, ModelFinder finder, IArtifactStore store, CancellationToken cancellation)
    {
        var version = await finder.VersionAsync(name, reference, cancellation);
        var manifest = await ArtifactManifest.ReadAsync(store, Digest.Parse(version.Manifest), cancellation);
        return TypedResults.Text(Encoding.UTF8.GetString(manifest.ToJson().Span), "application/json");
    }

    private static async Task<BlobResult> Download(
        string name, string reference, string file, RegistryContext context, ModelFinder finder, CancellationToken cancellation)
    {
        var version = await finder.VersionAsync(name, reference, cancellation);
        var found = await context.Files.AsNoTracking().FirstOrDefaultAsync(row => row.VersionId == version.Id && row.Name == file, cancellation)
            ?? throw RefusedException.NotFound($"{name} version {version.Number} has no file {file}");
        return new BlobResult(Digest.Parse(found.Digest), found.Size, Path.GetFileName(found.Name));
    }

    internal static async Task<NoContent> Delete(
        string name, string reference, RegistryContext context, ModelFinder finder, Views views, ETags tags, TimeProvider clock,
        CancellationToken cancellation)
    {
        var version = await finder.VersionAsync(name, reference, cancellation);
        var view = await views.OfVersionAsync(version.Id, cancellation);
        tags.Require(view);
        if (view.Aliases.Count > 0)
            throw RefusedException.Conflict($"the version is {string.Join(", ", view.Aliases)}: move or remove the alias first", view.Aliases);
        version.DeletedAt = clock.GetUtcNow();
        version.Revision++;
        await context.SaveChangesAsync(cancellation);
        return TypedResults.NoContent();
    }

    internal static async Task<Ok<VersionView>> Restore(
        string name, string reference, RegistryContext context, ModelFinder finder, Views views, CancellationToken cancellation)
    {
        var version = await finder.VersionAsync(name, reference, cancellation, deleted: true);
        if (version.PurgedAt is { } purged)
            throw new RefusedException(StatusCodes.Status410Gone, $"the version's files were collected at {purged:u}: upload them again");
        version.DeletedAt = null;
        version.Revision++;
        await context.SaveChangesAsync(cancellation);
        return TypedResults.Ok(await views.OfVersionAsync(version.Id, cancellation));
    }
}

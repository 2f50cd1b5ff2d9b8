using System.Text;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;

namespace Qbb.Registry.Versions;

/// <summary>Versions and their files. A reference is a number, an alias, or the first digits of the manifest's digest.</summary>
internal static class VersionEndpoints
{
    public static void MapVersions(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/models/{name}/versions").WithTags("versions");
        group.MapGet("/", List).WithSummary("Lists a model's versions, the newest first.");
        group.MapGet("/{reference}", Get).WithSummary("Shows a version with its files.").ProducesProblem(404);
        group.MapGet("/{reference}/manifest", Manifest).WithSummary("The manifest, whose digest is the version's identity.");
        group.MapGet("/{reference}/card", Card).WithSummary("The model card in Markdown, with the YAML head that Hugging Face reads.").Produces<string>(200, "text/markdown").ProducesProblem(404);
        group.MapGet("/{reference}/provenance", Provenance)
            .WithSummary("How the version was created: an in-toto statement with SLSA provenance. It lists the base model, the recipe and every unit of work with the digests of its inputs and its output.")
            .ProducesProblem(404);
        group.MapMethods("/{reference}/files/{**file}", [HttpMethods.Get, HttpMethods.Head], Download)
            .WithSummary("A file, or a range of it.").Produces(200).Produces(206).ProducesProblem(404).Produces(416);
        group.MapDelete("/{reference}", Delete).WithSummary("Deletes a version; it can be restored until garbage collection.").ProducesProblem(409);
        group.MapPost("/{reference}/restore", Restore).WithSummary("Restores a deleted version.");

        var pages = routes.MapPages("/models/{name}");
        pages.MapGet("/compare", ComparePage.Show);
        pages.MapGet("/versions/{reference}", VersionPage.Show);
        pages.MapGet("/versions/{reference}/view/{**file}", FilePage.Show);
        pages.MapPost("/versions/{version:int}/delete", async (string name, int version, [AsParameters] VersionServices services) =>
        {
            await Delete(name, $"{version}", services);
            return new SeeOther($"/models/{name}#deleted");
        });
        pages.MapPost("/versions/{version:int}/restore", async (string name, int version, [AsParameters] VersionServices services) =>
        {
            await Restore(name, $"{version}", services);
            return VersionPage.See(name, version);
        });
    }

    private static async Task<Ok<Page<VersionView>>> List(string name, int? after, int? limit, [AsParameters] VersionServices services)
    {
        var most = Paging.LimitOf(limit);
        var model = await services.Finder.ModelAsync(name, services.Cancellation);
        var found = services.Context.Versions.Where(version => version.ModelId == model.Id && version.DeletedAt == null)
            .Where(version => after == null || version.Number < after).OrderByDescending(version => version.Number).Take(most + 1);
        return TypedResults.Ok(Paging.Make(
            await services.Views.OfVersionsAsync(found, services.Cancellation), most, version => version, version => $"{version.Version}"));
    }

    private static async Task<Results<Ok<VersionView>, StatusCodeHttpResult>> Get(string name, string reference, [AsParameters] VersionServices services)
    {
        var version = await services.Finder.VersionAsync(name, reference, services.Cancellation);
        return services.Tags.Ok(await services.Views.OfVersionAsync(version.Id, services.Cancellation));
    }

    private static async Task<ContentHttpResult> Manifest(string name, string reference, IArtifactStore store, [AsParameters] VersionServices services)
    {
        var version = await services.Finder.VersionAsync(name, reference, services.Cancellation);
        var manifest = await ArtifactManifest.ReadAsync(store, Digest.Parse(version.Manifest), services.Cancellation);
        return TypedResults.Text(Encoding.UTF8.GetString(manifest.ToJson().Span), "application/json");
    }

    private static async Task<ContentHttpResult> Card(
        string name, string reference, HttpContext http, VersionDocuments documents, [AsParameters] VersionServices services)
    {
        var row = await services.Finder.VersionAsync(name, reference, services.Cancellation);
        var version = await services.Views.OfVersionAsync(row.Id, services.Cancellation);
        return TypedResults.Text(VersionCard.Write(version, await documents.TextAsync(version, "README.md", services.Cancellation), SiteAddress.Of(http)), "text/markdown", Encoding.UTF8);
    }

    private static async Task<Ok<ProvenanceStatement>> Provenance(string name, string reference, [AsParameters] VersionServices services)
    {
        var row = await services.Finder.VersionAsync(name, reference, services.Cancellation);
        var version = await services.Views.OfVersionAsync(row.Id, services.Cancellation);
        return TypedResults.Ok(await VersionStatement.OfAsync(row.Id, version, services.Context, services.Cancellation));
    }

    private static async Task<BlobResult> Download(string name, string reference, string file, [AsParameters] VersionServices services)
    {
        var version = await services.Finder.VersionAsync(name, reference, services.Cancellation);
        var found = await services.Context.Files.AsNoTracking()
            .FirstOrDefaultAsync(row => row.VersionId == version.Id && row.Name == file, services.Cancellation)
            ?? throw RefusedException.NotFound($"{name} version {version.Number} has no file {file}");
        return new BlobResult(Digest.Parse(found.Digest), found.Size, Path.GetFileName(found.Name));
    }

    private static Task<NoContent> Delete(string name, string reference, [AsParameters] VersionServices services) => services.ChangeAsync(name, reference, async version =>
    {
        var view = await services.Views.OfVersionAsync(version.Id, services.Cancellation);
        services.Tags.Require(view);
        if (view.Aliases.Count > 0)
            throw RefusedException.Conflict($"the version is {string.Join(", ", view.Aliases)}: move or remove the alias first", view.Aliases);
        version.DeletedAt = services.Clock.GetUtcNow();
        version.Revision++;
        return TypedResults.NoContent();
    });

    private static async Task<Ok<VersionView>> Restore(string name, string reference, [AsParameters] VersionServices services)
    {
        var id = await services.ChangeAsync(name, reference, version =>
        {
            if (version.PurgedAt is { } purged)
                throw new RefusedException(StatusCodes.Status410Gone, $"the version's files were collected at {purged:u}: upload them again");
            version.DeletedAt = null;
            version.Revision++;
            return Task.FromResult(version.Id);
        }, deleted: true);
        return TypedResults.Ok(await services.Views.OfVersionAsync(id, services.Cancellation));
    }
}

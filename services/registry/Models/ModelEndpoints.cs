using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Versions;

namespace Qbb.Registry.Models;

/// <summary>Models.</summary>
internal static class ModelEndpoints
{
    private const int MostDescription = 10_000;

    public static void MapModels(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/models").WithTags("models");
        group.MapGet("/", List).WithSummary("Lists models by name.");
        group.MapGet("/{name}", Get).WithSummary("Shows a model.").ProducesProblem(404);
        group.MapPatch("/{name}", Change).WithSummary("Changes a model's description.").ProducesProblem(404).ProducesProblem(412);
        group.MapDelete("/{name}", Delete).WithSummary("Deletes a model and its versions; it can be restored until garbage collection.");
        group.MapPost("/{name}/restore", Restore).WithSummary("Restores a deleted model.");

        var pages = routes.MapPages("");
        pages.MapGet("/", ModelListPage.Show);
        pages.MapGet("/models/{name}", ModelPage.Show);
        pages.MapPost("/models/{name}/description", async (string name, [FromForm] string? description, [AsParameters] VersionServices services) =>
        {
            await Change(name, new ModelChange((description ?? "").Trim()), services);
            return new SeeOther($"/models/{name}");
        });
        pages.MapPost("/models/{name}/quantize", QuantizeForm.Start);
    }

    private static async Task<Ok<Page<ModelView>>> List(string? q, string? after, int? limit, [AsParameters] VersionServices services)
    {
        var (rows, next) = await FindAsync(q, after, Paging.LimitOf(limit), services);
        return TypedResults.Ok(new Page<ModelView>([.. rows.Select(row => row.View)], next));
    }

    /// <summary>A page of models by name, and the last name of it where there are more.</summary>
    internal static async Task<(IReadOnlyList<ModelRow> Rows, string? Next)> FindAsync(string? q, string? after, int limit, VersionServices services)
    {
        var found = services.Context.Models.Where(model => model.DeletedAt == null);
        if (!string.IsNullOrEmpty(q))
            found = found.Where(model => model.Name.Contains(q) || model.Description.Contains(q));
        if (after is not null)
            found = found.Where(model => string.Compare(model.Name, after) > 0);
        var rows = await services.Views.OfAsync(found.OrderBy(model => model.Name).Take(limit + 1), services.Cancellation);
        return ([.. rows.Take(limit)], rows.Count > limit ? rows[limit - 1].Model.Name : null);
    }

    private static async Task<Results<Ok<ModelView>, StatusCodeHttpResult>> Get(string name, [AsParameters] VersionServices services) =>
        services.Tags.Ok(await services.Views.OfAsync(await services.Finder.ModelAsync(name, services.Cancellation), services.Cancellation));

    private static Task<Ok<ModelView>> Change(string name, ModelChange change, [AsParameters] VersionServices services) => services.ChangeAsync(name, async model =>
    {
        services.Tags.Require(await services.Views.OfAsync(model, services.Cancellation));
        if (change.Description is not { Length: <= MostDescription } description)
            throw RefusedException.Invalid($"description must have at most {MostDescription} characters");
        model.Description = description;
        model.Revision++;
        return TypedResults.Ok(await services.Views.OfAsync(model, services.Cancellation));
    });

    private static async Task<NoContent> Delete(string name, PipelineInbox pipelines, [AsParameters] VersionServices services)
    {
        var (context, cancellation) = (services.Context, services.Cancellation);
        var found = await services.Finder.ModelAsync(name, cancellation);
        // Followers first: of those left, a cancelled leader would start the first.
        var active = await context.Pipelines.AsNoTracking()
            .Where(pipeline => pipeline.ModelId == found.Id)
            .Where(pipeline => pipeline.Status == PipelineStatus.Running || pipeline.Status == PipelineStatus.Following)
            .OrderBy(pipeline => pipeline.Status).Select(pipeline => pipeline.Id).ToListAsync(cancellation);
        context.ChangeTracker.Clear();
        // Pipelines are locked before their model, as where they publish.
        await pipelines.ApplyAsync(active, new PipelineEvent.Cancelled(), async () =>
        {
            if (await context.LockModelAsync(found.Id, cancellation) is not { DeletedAt: null } model)
                throw ModelFinder.None(name);
            services.Tags.Require(await services.Views.OfAsync(model, cancellation));
            var now = services.Clock.GetUtcNow();
            model.DeletedAt = now;
            model.Revision++;
            foreach (var version in await context.Versions.Where(version => version.ModelId == model.Id && version.DeletedAt == null).ToListAsync(cancellation))
            {
                version.DeletedAt = now;
                version.Revision++;
            }
        }, cancellation);
        return TypedResults.NoContent();
    }

    private static Task<Ok<ModelView>> Restore(string name, [AsParameters] VersionServices services) => services.ChangeAsync(name, async model =>
    {
        if (model.DeletedAt is { } deleted)
        {
            // Versions that were deleted before stay deleted.
            var together = await services.Context.Versions
                .Where(version => version.ModelId == model.Id && version.DeletedAt == deleted && version.PurgedAt == null).ToListAsync(services.Cancellation);
            foreach (var version in together)
            {
                version.DeletedAt = null;
                version.Revision++;
            }
            model.DeletedAt = null;
            model.Revision++;
            await services.Context.SaveChangesAsync(services.Cancellation);
        }
        return TypedResults.Ok(await services.Views.OfAsync(model, services.Cancellation));
    }, deleted: true);
}

using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Running;

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
        group.MapDelete("/{name}", Delete).WithSummary("Deletes a model and its versions; it can be restored until the collector has been.");
        group.MapPost("/{name}/restore", Restore).WithSummary("Takes a deletion back.");
    }

    private static async Task<Ok<Page<ModelView>>> List(
        string? q, string? after, int? limit, RegistryContext context, Views views, CancellationToken cancellation)
    {
        var most = Paging.LimitOf(limit);
        var found = context.Models.AsNoTracking().Where(model => model.DeletedAt == null);
        if (!string.IsNullOrEmpty(q))
            found = found.Where(model => model.Name.Contains(q) || model.Description.Contains(q));
        if (after is not null)
            found = found.Where(model => string.Compare(model.Name, after) > 0);
        var rows = await found.OrderBy(model => model.Name).Take(most + 1).ToListAsync(cancellation);
        var shown = await views.OfAsync([.. rows.Take(most)], cancellation);
        return TypedResults.Ok(new Page<ModelView>(shown, rows.Count > most ? rows[most - 1].Name : null));
    }

    private static async Task<Results<Ok<ModelView>, StatusCodeHttpResult>> Get(
        string name, ModelFinder finder, Views views, ETags tags, CancellationToken cancellation) =>
        tags.Ok(await views.OfAsync(await finder.ModelAsync(name, cancellation), cancellation));

    internal static async Task<Ok<ModelView>> Change(
        string name, ModelChange change, RegistryContext context, ModelFinder finder, Views views, ETags tags, CancellationToken cancellation)
    {
        var model = await finder.ModelAsync(name, cancellation);
        tags.Require(await views.OfAsync(model, cancellation));
        if (change.Description is not { Length: <= MostDescription } description)
            throw RefusedException.Invalid($"description must have at most {MostDescription} characters");
        model.Description = description;
        model.Revision++;
        await context.SaveChangesAsync(cancellation);
        return TypedResults.Ok(await views.OfAsync(model, cancellation));
    }

    private static async Task<NoContent> Delete(
        string name, RegistryContext context, ModelFinder finder, Views views, ETags tags, PipelineInbox pipelines, TimeProvider clock,
        CancellationToken cancellation)
    {
        var model = await finder.ModelAsync(name, cancellation);
        tags.Require(await views.OfAsync(model, cancellation));
        var active = await context.Pipelines.AsNoTracking()
            .Where(pipeline => pipeline.ModelId == model.Id)
            .Where(pipeline => pipeline.Status == PipelineStatus.Running || pipeline.Status == PipelineStatus.Following)
            .OrderBy(pipeline => pipeline.Status).Select(pipeline => pipeline.Id).ToListAsync(cancellation);
        foreach (var pipeline in active)
            await pipelines.ApplyAsync(pipeline, new PipelineEvent.Cancelled(), cancellation);
        var now = clock.GetUtcNow();
        model.DeletedAt = now;
        model.Revision++;
        foreach (var version in await context.Versions.Where(version => version.ModelId == model.Id && version.DeletedAt == null).ToListAsync(cancellation))
        {
            version.DeletedAt = now;
            version.Revision++;
        }
        await context.SaveChangesAsync(cancellation);
        return TypedResults.NoContent();
    }

    private static async Task<Ok<ModelView>> Restore(string name, RegistryContext context, Views views, CancellationToken cancellation)
    {
        var model = await context.Models.FirstOrDefaultAsync(row => row.Name == name, cancellation)
            ?? throw RefusedException.NotFound($"there was no model {name}");
        if (model.DeletedAt is { } deleted)
        {
            // Versions that were deleted before stay deleted.
            var together = await context.Versions
                .Where(version => version.ModelId == model.Id && version.DeletedAt == deleted && version.PurgedAt == null).ToListAsync(cancellation);
            foreach (var version in together)
            {
                version.DeletedAt = null;
                version.Revision++;
            }
            model.DeletedAt = null;
            model.Revision++;
            await context.SaveChangesAsync(cancellation);
        }
        return TypedResults.Ok(await views.OfAsync(model, cancellation));
    }
}

using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines;

/// <summary>Quantizations: requested, watched, cancelled, tried again.</summary>
internal static class PipelineEndpoints
{
    public static void MapPipelines(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/pipelines").WithTags("pipelines");
        group.MapPost("/", Post).WithMetadata(Idempotent.Mark).WithSummary("Starts a pipeline that quantizes a version.").ProducesProblem(400).ProducesProblem(404).ProducesProblem(422);
        group.MapGet("/", List).WithSummary("Lists pipelines, the newest first.");
        group.MapGet("/work", Work).WithSummary("Lists what every running pipeline has outstanding, for whoever starts workers.");
        group.MapGet("/{id:guid}", Get).WithSummary("Shows a pipeline.").ProducesProblem(404);
        group.MapGet("/{id:guid}/events", Watch).WithSummary("The pipeline whenever it changes, as server-sent events, until it has ended.");
        group.MapPost("/{id:guid}/cancel", Cancel).WithSummary("Cancels a pipeline; no further unit is started.").ProducesProblem(404);
        group.MapDelete("/{id:guid}", Remove).WithSummary("Removes a pipeline that has ended; its version stays.").ProducesProblem(404).ProducesProblem(409);
        group.MapPost("/{id:guid}/retry", Retry).WithMetadata(Idempotent.Mark).WithSummary("Resumes a failed or cancelled pipeline where it stopped.").ProducesProblem(404).ProducesProblem(409);

        var pages = routes.MapPages("/pipelines");
        pages.MapGet("", PipelineListPage.Show);
        pages.MapGet("/{id:guid}", PipelinePage.Show);
        pages.MapPost("/{id:guid}/cancel", async (Guid id, PipelineInbox pipelines, CancellationToken cancellation) =>
        {
            await pipelines.ApplyAsync(id, new PipelineEvent.Cancelled(), cancellation);
            return new SeeOther($"/pipelines/{id}");
        });
        pages.MapPost("/{id:guid}/retry", async (Guid id, PipelineDesk desk, CancellationToken cancellation) =>
        {
            await desk.RetryAsync(id, key: null, cancellation);
            return new SeeOther($"/pipelines/{id}");
        });
    }

    private static async Task<Accepted<PipelineCreated>> Post(PipelineRequest request, PipelineDesk desk, HttpContext http, CancellationToken cancellation)
    {
        var created = await desk.StartAsync(request, IdempotencyKey.Of(http), cancellation);
        return TypedResults.Accepted(PipelineDesk.AddressOf(created.Id), created);
    }

    private static async Task<Ok<Page<PipelineView>>> List(
        string? model, string? state, Guid? after, int? limit, PipelineViews views, CancellationToken cancellation) =>
        TypedResults.Ok(await views.ListAsync(model, state, after, Paging.LimitOf(limit), cancellation));

    private static async Task<Ok<IReadOnlyList<StageWork>>> Work(PipelineViews views, CancellationToken cancellation) =>
        TypedResults.Ok(await views.WorkAsync(cancellation));

    private static async Task<Results<Ok<PipelineView>, StatusCodeHttpResult>> Get(
        Guid id, PipelineViews views, ETags tags, CancellationToken cancellation) => tags.Ok(await views.GetAsync(id, cancellation));

    private static async Task<ServerSentEventsResult<PipelineView>> Watch(Guid id, PipelineViews views, PipelineBoard board, CancellationToken cancellation)
    {
        // What is not there is said by the status, before the stream begins.
        var first = await views.GetAsync(id, cancellation);
        return TypedResults.ServerSentEvents(board.WatchAsync(first, cancellation), "pipeline");
    }

    private static async Task<Ok<PipelineView>> Cancel(
        Guid id, PipelineInbox pipelines, PipelineViews views, CancellationToken cancellation)
    {
        await pipelines.ApplyAsync(id, new PipelineEvent.Cancelled(), cancellation);
        return TypedResults.Ok(await views.GetAsync(id, cancellation));
    }

    private static async Task<NoContent> Remove(Guid id, RegistryContext context, CancellationToken cancellation) => await context.ChangeAsync(async () =>
    {
        var row = await context.LockPipelineAsync(id, cancellation) ?? throw RefusedException.NotFound($"there is no pipeline {id}");
        if (!row.HasEnded)
            throw RefusedException.Conflict($"the pipeline is {Wire.NameOf(PipelineProgress.StateOf(row.Status))}: cancel it first");
        context.Pipelines.Remove(row);
        await context.Outbox.Where(message => message.PipelineId == id && message.Error != null).ExecuteDeleteAsync(cancellation);
        return TypedResults.NoContent();
    }, [], cancellation);

    private static async Task<Ok<PipelineView>> Retry(Guid id, PipelineDesk desk, PipelineViews views, HttpContext http, CancellationToken cancellation)
    {
        var before = await views.GetAsync(id, cancellation);
        if (before.State is not (PipelineState.Failed or PipelineState.Cancelled))
            throw RefusedException.Conflict($"the pipeline is {Wire.NameOf(before.State)}: only a failed or cancelled one can be tried again");
        return TypedResults.Ok(await desk.RetryAsync(id, IdempotencyKey.Of(http), cancellation));
    }
}

using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Models;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Running;
using static Qbb.Registry.Pages.PageLayout;

namespace Qbb.Registry.Pages;

/// <summary>Pipelines in a browser.</summary>
internal static class PipelinePages
{
    public static readonly string[] Columns = ["Pipeline", "Model", "Recipe", "State", "Stage", "Progress"];

    public static async Task<IResult> List(Guid? after, HttpContext http, RegistryContext context, PipelineViews views, CancellationToken cancellation)
    {
        var found = context.Pipelines.AsNoTracking();
        if (after is { } last)
            found = found.Where(pipeline => pipeline.Id.CompareTo(last) < 0);
        var rows = await found.OrderByDescending(pipeline => pipeline.Id).Take(Paging.Usual + 1).ToListAsync(cancellation);
        var table = Table("Pipelines", Columns, [.. (await views.OfAsync([.. rows.Take(Paging.Usual)], cancellation)).Select(Row)],
            "None was started yet. An upload starts those that the policies ask for.");
        var next = rows.Count > Paging.Usual
            ? Markup.Of($"""<p><a rel="next" href="/pipelines?after={rows[Paging.Usual - 1].Id}">More</a></p>""")
            : Markup.Empty;
        return Page(http, "Pipelines", Markup.Join([table, next]));
    }

    public static async Task<IResult> Show(Guid id, HttpContext http, PipelineViews views, CancellationToken cancellation)
    {
        var pipeline = await views.FindAsync(id, cancellation) ?? throw RefusedException.NotFound($"there is no pipeline {id}");
        var isActive = pipeline.State is "queued" or "running";
        var error = pipeline.Error is null ? Markup.Empty : Markup.Of($"""<p class="error" role="alert">{pipeline.Error}</p>""");
        var left = pipeline.EtaSeconds is { } seconds ? Markup.Of($", about {TimeSpan.FromSeconds(seconds):c} left") : Markup.Empty;
        var result = pipeline.Result is { } made
            ? Markup.Of($"""<p>It made <a href="/models/{made.Model}/versions/{made.Version}">{made.Model} version {made.Version}</a>: perplexity {Figure(pipeline.Metrics, MetricNames.Perplexity)} (teacher {Figure(pipeline.Metrics, MetricNames.TeacherPerplexity)}), KL {Figure(pipeline.Metrics, MetricNames.Kl)}, {Figure(pipeline.Metrics, MetricNames.BitsPerWeight)} bits per weight.</p>""")
            : Markup.Empty;
        var stages = Table("Stages", ["Stage", "State", "Units"],
        [
            .. pipeline.Stages.Select(stage => Markup.Of($"""<tr><th scope="row">{stage.Name}</th><td>{stage.State}</td><td class="number">{stage.Done}{(stage.Total > 0 ? $" of {stage.Total}" : "")}</td></tr>""")),
        ], "");
        var action = isActive ? Button(id, "cancel", "Cancel") : pipeline.State == "succeeded" ? Markup.Empty : Button(id, "retry", "Try again");
        return Page(http, $"Pipeline of {pipeline.Model} version {pipeline.Version}", Markup.Of($"""
            <p role="status" data-live="{(isActive ? $"/api/pipelines/{id}/events" : "")}"><strong>{pipeline.State}</strong>, {pipeline.Stage}{left}</p>
            <p><progress max="1" value="{pipeline.Progress}" aria-label="Progress">{100 * pipeline.Progress:0} %</progress></p>
            {error}{result}{stages}
            <dl><dt>Recipe</dt><dd>{pipeline.RecipeName} <code>{pipeline.Recipe}</code></dd><dt>Asked for</dt><dd>{Time(pipeline.CreatedAt)}</dd><dt>Ended</dt><dd>{Time(pipeline.EndedAt)}</dd></dl>
            {action}
            """), live: true);
    }

    public static async Task<IResult> Cancel(Guid id, PipelineInbox pipelines, CancellationToken cancellation)
    {
        await pipelines.ApplyAsync(id, new PipelineEvent.Cancelled(), cancellation);
        return SeePipeline(id);
    }

    public static async Task<IResult> Retry(Guid id, PipelineDesk desk, CancellationToken cancellation)
    {
        await desk.RetryAsync(id, cancellation);
        return SeePipeline(id);
    }

    public static Markup Row(PipelineView pipeline) => Markup.Of(
        $"""<tr><th scope="row"><a href="/pipelines/{pipeline.Id}">{Time(pipeline.CreatedAt)}</a></th><td><a href="/models/{pipeline.Model}">{pipeline.Model}</a> version {pipeline.Version}</td><td>{pipeline.RecipeName ?? pipeline.Recipe[..12]}</td><td>{pipeline.State}</td><td>{pipeline.Stage}</td><td><progress max="1" value="{pipeline.Progress}" aria-label="Progress">{100 * pipeline.Progress:0} %</progress></td></tr>""");

    private static Markup Button(Guid id, string action, string label) =>
        Markup.Of($"""<form method="post" action="/pipelines/{id}/{action}"><button>{label}</button></form>""");

    private static IResult SeePipeline(Guid id) => new SeeOther($"/pipelines/{id}");

    /// <summary>What a form is answered with, so that going back or reloading does not send it again.</summary>
    private sealed class SeeOther(string address) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext)
        {
            httpContext.Response.StatusCode = StatusCodes.Status303SeeOther;
            httpContext.Response.Headers.Location = address;
            return Task.CompletedTask;
        }
    }
}

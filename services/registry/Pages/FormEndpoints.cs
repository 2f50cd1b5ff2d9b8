using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Mvc;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Models;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Pipelines.Machine;
using Qbb.Registry.Pipelines.Running;
using Qbb.Registry.Policies;

namespace Qbb.Registry.Pages;

/// <summary>
/// What the pages' forms do: the same as the interface for programs, then the page again, so that going back or reloading sends nothing twice.
/// No tokens against forgery are needed: <see cref="CrossOriginGuard"/> refuses what pages of other sites send.
/// </summary>
internal static class FormEndpoints
{
    public static void MapForms(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("").ExcludeFromDescription().DisableAntiforgery();
        group.MapPost("/models/{name}/description", Describe);
        group.MapPost("/models/{name}/quantize", Quantize);
        group.MapPost("/models/{name}/versions/{version:int}/aliases", SetAlias);
        group.MapPost("/models/{name}/versions/{version:int}/aliases/remove", RemoveAlias);
        group.MapPost("/models/{name}/versions/{version:int}/tags", SetTag);
        group.MapPost("/models/{name}/versions/{version:int}/tags/remove", RemoveTag);
        group.MapPost("/models/{name}/versions/{version:int}/delete", Delete);
        group.MapPost("/models/{name}/versions/{version:int}/restore", Restore);
        group.MapPost("/policies", MakePolicy);
        group.MapPost("/policies/{name}", ChangePolicy);
        group.MapPost("/policies/{name}/remove", RemovePolicy);
        group.MapPost("/pipelines/{id:guid}/cancel", Cancel);
        group.MapPost("/pipelines/{id:guid}/retry", Retry);
    }

    private static async Task<IResult> Describe(
        string name, [FromForm] string? description, RegistryContext context, ModelFinder finder, Views views, ETags tags, CancellationToken cancellation)
    {
        await ModelEndpoints.Change(name, new ModelChange((description ?? "").Trim()), context, finder, views, tags, cancellation);
        return new SeeOther($"/models/{name}");
    }

    private static async Task<IResult> Quantize(
        string name, [FromForm] int version, [FromForm] string recipe, RegistryContext context, PipelineDesk desk, CancellationToken cancellation)
    {
        var known = (await QuantizeForm.RecipesAsync(context, cancellation)).FirstOrDefault(row => row.Digest == recipe);
        if (known.Json is null)
            throw RefusedException.NotFound("the recipe is no longer known: choose another");
        var id = await desk.StartAsync(new PipelineRequest(name, version, JsonNode.Parse(known.Json), known.Name), cancellation);
        return new SeeOther($"/pipelines/{id}");
    }

    private static async Task<IResult> SetAlias(
        string name, int version, [FromForm] string? alias, RegistryContext context, ModelFinder finder, ETags tags, TimeProvider clock, CancellationToken cancellation)
    {
        await AliasEndpoints.Put(name, (alias ?? "").Trim(), new AliasChange(version), context, finder, tags, clock, cancellation);
        return SeeVersion(name, version);
    }

    private static async Task<IResult> RemoveAlias(
        string name, int version, [FromForm] string? alias, RegistryContext context, ModelFinder finder, ETags tags, CancellationToken cancellation)
    {
        await AliasEndpoints.Delete(name, alias ?? "", context, finder, tags, cancellation);
        return SeeVersion(name, version);
    }

    private static async Task<IResult> SetTag(
        string name, int version, [FromForm] string? key, [FromForm] string? value, RegistryContext context, ModelFinder finder, CancellationToken cancellation)
    {
        await TagEndpoints.Put(name, $"{version}", (key ?? "").Trim(), new TagValue((value ?? "").Trim()), context, finder, cancellation);
        return SeeVersion(name, version);
    }

    private static async Task<IResult> RemoveTag(
        string name, int version, [FromForm] string? key, RegistryContext context, ModelFinder finder, CancellationToken cancellation)
    {
        await TagEndpoints.Delete(name, $"{version}", key ?? "", context, finder, cancellation);
        return SeeVersion(name, version);
    }

    private static async Task<IResult> Delete(
        string name, int version, RegistryContext context, ModelFinder finder, Views views, ETags tags, TimeProvider clock, CancellationToken cancellation)
    {
        await VersionEndpoints.Delete(name, $"{version}", context, finder, views, tags, clock, cancellation);
        return new SeeOther($"/models/{name}#deleted");
    }

    private static async Task<IResult> Restore(
        string name, int version, RegistryContext context, ModelFinder finder, Views views, CancellationToken cancellation)
    {
        await VersionEndpoints.Restore(name, $"{version}", context, finder, views, cancellation);
        return SeeVersion(name, version);
    }

    private static async Task<IResult> MakePolicy(
        IFormCollection form, RegistryContext context, ETags tags, TimeProvider clock, CancellationToken cancellation)
    {
        var name = form["name"].ToString().Trim();
        if (await PolicyEndpoints.FindAsync(name, context, cancellation) is not null)
            throw RefusedException.Unusable($"there is a policy {name} already: change it below its name", [$"{name} exists"]);
        await PolicyEndpoints.Put(name, PolicyForms.Read(form), context, tags, clock, cancellation);
        return SeePolicy(name);
    }

    private static async Task<IResult> ChangePolicy(
        string name, [FromForm] string? text, RegistryContext context, ETags tags, TimeProvider clock, CancellationToken cancellation)
    {
        await PolicyEndpoints.Put(name, PolicyForms.Read(text), context, tags, clock, cancellation);
        return SeePolicy(name);
    }

    private static async Task<IResult> RemovePolicy(string name, RegistryContext context, ETags tags, CancellationToken cancellation)
    {
        await PolicyEndpoints.Delete(name, context, tags, cancellation);
        return new SeeOther("/policies");
    }

    private static async Task<IResult> Cancel(Guid id, PipelineInbox pipelines, CancellationToken cancellation)
    {
        await pipelines.ApplyAsync(id, new PipelineEvent.Cancelled(), cancellation);
        return new SeeOther($"/pipelines/{id}");
    }

    private static async Task<IResult> Retry(Guid id, PipelineDesk desk, CancellationToken cancellation)
    {
        await desk.RetryAsync(id, cancellation);
        return new SeeOther($"/pipelines/{id}");
    }

    private static SeeOther SeePolicy(string name) => new($"/policies#policy-{name}");

    private static SeeOther SeeVersion(string name, int version) => new($"/models/{name}/versions/{version}#aliases");
}

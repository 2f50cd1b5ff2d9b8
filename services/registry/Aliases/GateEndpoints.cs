using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Models;

/// <summary>What a version must keep to become the champion.</summary>
internal static class GateEndpoints
{
    public static void MapGates(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/models/{name}/gate").WithTags("gate");
        group.MapGet("/", Get).WithSummary("Shows the gate that applies to a model, and how its versions fare.");
        group.MapPut("/", Put).WithSummary("Sets a model's own gate and chooses the champion anew.").ProducesProblem(400).ProducesProblem(412);
        group.MapDelete("/", Delete).WithSummary("Removes a model's own gate; that of its policy or of the registry applies then.");
    }

    private static async Task<Results<Ok<GateView>, StatusCodeHttpResult>> Get(
        string name, ModelFinder finder, RegistryContext context, Champions champions, ETags tags, CancellationToken cancellation) =>
        tags.Ok(await ViewAsync(await finder.ModelAsync(name, cancellation), context, champions, cancellation));

    private static async Task<Ok<GateView>> Put(
        string name, Gate gate, ModelFinder finder, RegistryContext context, Champions champions, ETags tags, CancellationToken cancellation)
    {
        var problems = gate.Problems().ToList();
        if (problems.Count > 0)
            throw RefusedException.Invalid(string.Join("; ", problems), problems);
        return await ChangeAsync(name, gate, finder, context, champions, tags, cancellation);
    }

    private static Task<Ok<GateView>> Delete(
        string name, ModelFinder finder, RegistryContext context, Champions champions, ETags tags, CancellationToken cancellation) =>
        ChangeAsync(name, null, finder, context, champions, tags, cancellation);

    private static async Task<Ok<GateView>> ChangeAsync(
        string name, Gate? gate, ModelFinder finder, RegistryContext context, Champions champions, ETags tags, CancellationToken cancellation)
    {
        var model = await finder.ModelAsync(name, cancellation);
        tags.Require(await ViewAsync(model, context, champions, cancellation));
        model.Gate = gate;
        model.Revision++;
        await champions.ChooseAsync(model, cancellation);
        await context.SaveChangesAsync(cancellation);
        return TypedResults.Ok(await ViewAsync(model, context, champions, cancellation));
    }

    private static async Task<GateView> ViewAsync(Model model, RegistryContext context, Champions champions, CancellationToken cancellation)
    {
        var gate = await champions.GateOfAsync(model, cancellation);
        var versions = await context.Versions.AsNoTracking().Include(version => version.Metrics)
            .Where(version => version.ModelId == model.Id && version.DeletedAt == null && version.Kind == VersionKind.Quantized)
            .OrderBy(version => version.Number).ToListAsync(cancellation);
        var measured = versions.Select(version => (version.Number, Metrics: Champions.MetricsOf(version))).ToList();
        var refused = measured.Select(version => (version.Number, Reason: ChampionRule.Refusal(gate, version.Metrics)))
            .Where(version => version.Reason is not null).ToDictionary(version => version.Number, version => version.Reason!);
        return new GateView(gate, model.Gate is not null, ChampionRule.Choose(gate, measured), refused);
    }
}

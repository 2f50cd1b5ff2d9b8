using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using Qbb.Registry.Versions;

namespace Qbb.Registry.Aliases;

/// <summary>What a version must keep to become the champion.</summary>
internal static class GateEndpoints
{
    public static void MapGates(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/models/{name}/gate").WithTags("gate");
        group.MapGet("/", Get).WithSummary("Shows the gate that applies to a model, and which versions pass it.");
        group.MapPut("/", Put).WithSummary("Sets a model's own gate and chooses the champion anew.").ProducesProblem(400).ProducesProblem(412);
        group.MapDelete("/", Delete).WithSummary("Removes a model's own gate; that of its policy or of the registry applies then.");
    }

    private static async Task<Results<Ok<GateView>, StatusCodeHttpResult>> Get(string name, Champions champions, [AsParameters] VersionServices services) =>
        services.Tags.Ok(await ViewAsync(await services.Finder.ModelAsync(name, services.Cancellation), champions, services));

    private static async Task<Ok<GateView>> Put(string name, Gate gate, Champions champions, [AsParameters] VersionServices services)
    {
        var problems = gate.Problems().ToList();
        if (problems.Count > 0)
            throw RefusedException.Invalid(string.Join("; ", problems), problems);
        return await ChangeAsync(name, gate, champions, services);
    }

    private static Task<Ok<GateView>> Delete(string name, Champions champions, [AsParameters] VersionServices services) =>
        ChangeAsync(name, null, champions, services);

    private static Task<Ok<GateView>> ChangeAsync(string name, Gate? gate, Champions champions, VersionServices services) => services.ChangeAsync(name, async model =>
    {
        services.Tags.Require(await ViewAsync(model, champions, services));
        model.Gate = gate;
        model.Revision++;
        await champions.ChooseAsync(model, isAsked: true, services.Cancellation);
        await services.Context.SaveChangesAsync(services.Cancellation);
        return TypedResults.Ok(await ViewAsync(model, champions, services));
    });

    private static async Task<GateView> ViewAsync(Model model, Champions champions, VersionServices services)
    {
        var cancellation = services.Cancellation;
        var gate = await champions.GateOfAsync(model, cancellation);
        var versions = (await champions.CandidatesAsync(model, cancellation)).Select(version => (version.Number, version.MetricsByName)).ToList();
        var refused = versions.Select(version => (version.Number, Reason: ChampionRule.Refusal(gate, version.MetricsByName)))
            .Where(version => version.Reason is not null).ToDictionary(version => version.Number, version => version.Reason!);
        var champion = await services.Context.Aliases.Where(alias => alias.ModelId == model.Id && alias.Name == Data.Alias.Champion)
            .Select(alias => (int?)alias.Version.Number).FirstOrDefaultAsync(cancellation);
        var passes = versions.Any(version => version.Number == champion && !refused.ContainsKey(version.Number));
        return new GateView(gate, model.Gate is not null, passes ? champion : ChampionRule.Choose(gate, versions), refused);
    }

    /// <summary>The part of a model's page about its gate.</summary>
    public static async Task<Markup> SectionAsync(Model model, IReadOnlyList<VersionView> versions, Champions champions, CancellationToken cancellation)
    {
        var gate = await champions.GateOfAsync(model, cancellation);
        var refused = versions.Where(version => version.Kind == VersionKind.Quantized)
            .Select(version => (version.Version, Reason: ChampionRule.Refusal(gate, version.Metrics)))
            .Where(version => version.Reason is not null)
            .Select(version => Markup.Of($"<li>version {version.Version}: {version.Reason}</li>")).ToList();
        return Markup.Of($"""
            <p>The champion is the version of the lowest KL divergence among those with
            {Limits(gate, "an evaluation; there are no limits")}{(gate.MaxBitsPerWeight is null ? ", and never a larger version than the champion before" : "")}.
            One that was set by hand stays until its alias is removed.</p>
            {(refused.Count > 0 ? Markup.Of($"<p>These do not pass:</p><ul>{refused}</ul>") : Markup.Empty)}
            """);
    }

    /// <summary>A gate in words.</summary>
    public static string Limits(Gate gate, string none) => string.Join(", ", new[]
    {
        gate.MaxPerplexityRatio is { } ratio ? $"perplexity at most {Numbers.Format(ratio, "0.###")} times the teacher’s" : null,
        gate.MaxKl is { } kl ? $"KL at most {Numbers.Format(kl, "0.####")} nats" : null,
        gate.MaxBitsPerWeight is { } bits ? $"at most {Numbers.Format(bits, "0.###")} bits per weight" : null,
    }.OfType<string>().DefaultIfEmpty(none));
}

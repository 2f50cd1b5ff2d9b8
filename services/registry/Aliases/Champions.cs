using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Registry.Data;

namespace Qbb.Registry.Aliases;

/// <summary>Which version of a model is the champion.</summary>
internal static class ChampionRule
{
    /// <summary>What is wrong with a version; null where it passes.</summary>
    public static string? Refusal(Gate gate, IReadOnlyDictionary<string, double> metrics)
    {
        double? Find(string name) => metrics.TryGetValue(name, out var value) ? value : null;
        if (Find(MetricNames.Kl) is not { } kl)
            return "it was not evaluated";
        if (gate.MaxKl is { } mostKl && kl > mostKl)
            return $"its KL is {kl:0.####} nats, the gate allows {mostKl}";
        if (gate.MaxPerplexityRatio is { } mostRatio)
        {
            var ratio = Find(MetricNames.Perplexity) / Find(MetricNames.TeacherPerplexity);
            if (ratio is not { } found || found > mostRatio)
                return $"its perplexity is {ratio?.ToString("0.###") ?? "unknown"} times the teacher's, the gate allows {mostRatio}";
        }
        if (gate.MaxBitsPerWeight is { } mostBits)
        {
            var bits = Find(MetricNames.BitsPerWeight);
            if (bits is not { } found || found > mostBits)
                return $"it has {bits?.ToString("0.###") ?? "unknown"} bits per weight, the budget is {mostBits}";
        }
        return null;
    }

    /// <summary>The version of the lowest KL that passes; of equal ones the smaller, then the older. Null where none passes.</summary>
    /// <param name="gate">The limits.</param>
    /// <param name="versions">The candidates.</param>
    /// <param name="mostBits">Bits per weight that must not be exceeded: those of the champion, where nobody requested a larger one.</param>
    public static int? Choose(
        Gate gate, IEnumerable<(int Number, IReadOnlyDictionary<string, double> Metrics)> versions, double mostBits = double.PositiveInfinity) => versions
        .Where(version => Refusal(gate, version.Metrics) is null && BitsOf(version.Metrics) <= mostBits)
        .OrderBy(version => version.Metrics[MetricNames.Kl])
        .ThenBy(version => BitsOf(version.Metrics))
        .ThenBy(version => version.Number)
        .Select(version => (int?)version.Number).FirstOrDefault();

    public static double BitsOf(IReadOnlyDictionary<string, double> metrics) => metrics.GetValueOrDefault(MetricNames.BitsPerWeight, double.MaxValue);
}

/// <summary>Moves the alias champion to the version that passes the gate best.</summary>
internal sealed class Champions(RegistryContext context, IOptions<RegistryOptions> options, TimeProvider clock)
{
    /// <summary>The model's own gate, else that of the first policy that applies to it, else the registry's.</summary>
    public async Task<Gate> GateOfAsync(Model model, CancellationToken cancellation)
    {
        if (model.Gate is not null)
            return model.Gate;
        var policies = await context.Policies.AsNoTracking().OrderBy(policy => policy.Name).ToListAsync(cancellation);
        return policies.FirstOrDefault(policy => policy.Gate is not null && policy.AppliesTo(model.Name))?.Gate
            ?? options.Value.Gate ?? new Gate();
    }

    /// <summary>
    /// Sets the alias inside the caller's transaction. It does not move if a person set it, if no version passes the gate or, unless the gate
    /// has a budget of bits, if the better versions are larger.
    /// </summary>
    /// <param name="model">A locked row.</param>
    /// <param name="isAsked">A person has just set the gate: its limits alone decide.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task ChooseAsync(Model model, bool isAsked, CancellationToken cancellation)
    {
        var alias = await context.Aliases.FirstOrDefaultAsync(row => row.ModelId == model.Id && row.Name == Alias.Champion, cancellation);
        if (alias is { IsHeld: true })
            return;
        var gate = await GateOfAsync(model, cancellation);
        var versions = await CandidatesAsync(model, cancellation);
        var champion = versions.Find(version => version.Id == alias?.VersionId);
        var isBound = champion is not null && gate.MaxBitsPerWeight is null && !isAsked && ChampionRule.Refusal(gate, champion.MetricsByName) is null;
        var number = ChampionRule.Choose(
            gate, versions.Select(version => (version.Number, version.MetricsByName)), isBound ? ChampionRule.BitsOf(champion!.MetricsByName) : double.PositiveInfinity);
        if (number is null)
            return;
        var chosen = versions.First(version => version.Number == number).Id;
        if (alias is null)
        {
            context.Aliases.Add(new Alias { ModelId = model.Id, Name = Alias.Champion, VersionId = chosen, UpdatedAt = clock.GetUtcNow() });
        }
        else if (alias.VersionId != chosen)
        {
            (alias.VersionId, alias.UpdatedAt) = (chosen, clock.GetUtcNow());
            alias.Revision++;
        }
    }

    /// <summary>The versions that may become the champion.</summary>
    public Task<List<ModelVersion>> CandidatesAsync(Model model, CancellationToken cancellation) => context.Versions.AsNoTracking()
        .Include(version => version.Metrics)
        .Where(version => version.ModelId == model.Id && version.DeletedAt == null && version.Kind == VersionKind.Quantized)
        .OrderBy(version => version.Number).ToListAsync(cancellation);
}

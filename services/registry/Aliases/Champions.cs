using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Registry.Data;
using Qbb.Registry.Policies;

namespace Qbb.Registry.Models;

/// <summary>Moves the alias champion to the version that passes the gate best.</summary>
internal sealed class Champions(RegistryContext context, IOptions<RegistryOptions> options, TimeProvider clock)
{
    /// <summary>The model's own gate, else that of the first policy that applies to it, else the registry's.</summary>
    public async Task<Gate> GateOfAsync(Model model, CancellationToken cancellation)
    {
        if (model.Gate is not null)
            return model.Gate;
        var policies = await context.Policies.AsNoTracking().OrderBy(policy => policy.Name).ToListAsync(cancellation);
        return policies.FirstOrDefault(policy => policy.Gate is not null && NamePattern.Matches(policy.Models, model.Name))?.Gate
            ?? options.Value.Gate ?? new Gate();
    }

    /// <summary>Sets the alias inside the caller's transaction; it stays where it is when no version passes.</summary>
    /// <returns>The champion's number; null where none passes.</returns>
    public async Task<int?> ChooseAsync(Model model, CancellationToken cancellation)
    {
        var gate = await GateOfAsync(model, cancellation);
        var versions = await context.Versions.AsNoTracking().Include(version => version.Metrics)
            .Where(version => version.ModelId == model.Id && version.DeletedAt == null && version.Kind == VersionKind.Quantized)
            .ToListAsync(cancellation);
        var number = ChampionRule.Choose(gate, versions.Select(version => (version.Number, MetricsOf(version))));
        if (number is null)
            return null;
        var chosen = versions.First(version => version.Number == number).Id;
        var alias = await context.Aliases.FirstOrDefaultAsync(row => row.ModelId == model.Id && row.Name == Alias.Champion, cancellation);
        if (alias is null)
        {
            context.Aliases.Add(new Alias { ModelId = model.Id, Name = Alias.Champion, VersionId = chosen, UpdatedAt = clock.GetUtcNow() });
        }
        else if (alias.VersionId != chosen)
        {
            (alias.VersionId, alias.UpdatedAt) = (chosen, clock.GetUtcNow());
            alias.Revision++;
        }
        return number;
    }

    public static IReadOnlyDictionary<string, double> MetricsOf(ModelVersion version) =>
        version.Metrics.ToDictionary(metric => metric.Name, metric => metric.Value);
}

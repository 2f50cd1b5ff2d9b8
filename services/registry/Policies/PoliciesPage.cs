using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts.Hub;
using Qbb.Registry.Aliases;
using Qbb.Registry.Data;
using Qbb.Registry.Hub;
using Qbb.Registry.Pages;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Policies;

/// <summary>What happens to uploads automatically.</summary>
internal static class PoliciesPage
{
    private const int MostPushes = 20;

    public static async Task<IResult> Show(HttpContext http, [AsParameters] PolicyServices services)
    {
        var policies = await PolicyEndpoints.AllAsync(services);
        var names = policies.Where(policy => policy.Oci is not null).Select(policy => policy.Name).ToList();
        var pushes = names.Count == 0 ? [] : await services.Context.OciPushes.AsNoTracking().Where(push => names.Contains(push.Policy))
            .OrderByDescending(push => push.Id).Take(MostPushes).ToListAsync(services.Cancellation);
        var sources = policies.Select(SourceOf).OfType<string>().ToList();
        var imports = sources.Count == 0 ? [] : await services.Context.HubImports.AsNoTracking().Where(import => sources.Contains(import.Source))
            .OrderByDescending(import => import.CreatedAt).Take(MostPushes).ToListAsync(services.Cancellation);
        var sections = policies.Count == 0
            ? Nothing(Markup.Of($"<p>No policies yet: uploads are stored, and pipelines start on request only.</p>"))
            : Markup.Join(policies.Select(policy => One(policy, pushes.Where(push => push.Policy == policy.Name), ImportsOf(policy, imports), services.Clock.GetUtcNow())));
        return PageLayout.Page(http, new PageParts("Policies", Markup.Of($"""
            <p class="lead">A policy sets which recipes run on uploads of which models, and the limits that a version must meet to become champion.</p>
            {sections}
            {PolicyForms.Make()}
            {Section("Using the API", Markup.Of($"""
                <p>A policy is replaced as a whole; it applies to uploads from then on. Here one that runs two recipes on models whose names begin with llama:</p>
                {Command(Example(SiteAddress.Of(http)))}
                """))}
            """))
        {
            Area = Area.Policies,
        });
    }

    private static Markup One(Policy policy, IEnumerable<OciPush> pushes, IEnumerable<HubImport> imports, DateTimeOffset now) => Markup.Of($"""
        <section id="policy-{policy.Name}"><h2>{policy.Name}</h2>
        {Facts(
        [
            ("Models", Markup.Of($"<code>{policy.Models}</code>{(policy.Models == "*" ? " (all)" : "")}")),
            ("Gate", Text(policy.Gate is { } gate ? GateEndpoints.Limits(gate, "no limits") : "the registry’s")), ("Changed", Numbers.Ago(policy.UpdatedAt, now)),
            ("Pushes champions to", Markup.Of($"{policy.Oci}{pushes.Select(push => Note($"{push.Target}: {StateOf(push)}"))}")),
            ("Takes from MLflow", Text(policy.Mlflow is { } source ? $"versions of {source.Name} with the tag {source.Tag}" : null)),
            ("Takes from the hub", Markup.Of($"{policy.Hub}{imports.Select(import => Note(StateOf(import)))}")),
        ])}
        {policy.Recipes.Select(recipe => Markup.Of($"<details open><summary>Recipe {recipe.Name}</summary>{RecipeView.Of(recipe.Json)}</details>"))}
        {PolicyForms.Change(policy)}
        </section>
        """);

    private static string? SourceOf(Policy policy) => policy.Hub is { } hub && HubReference.Parse(hub) is { } reference ? HubWatcher.SourceOf(reference) : null;

    private static IEnumerable<HubImport> ImportsOf(Policy policy, List<HubImport> imports) => SourceOf(policy) is { } source ? imports.Where(import => import.Source == source) : [];

    private static string StateOf(HubImport import) => import.Commit.Length == 0 ? $"not looked up: {import.Error}"
        : $"commit {import.Commit[..Math.Min(7, import.Commit.Length)]}: {(import.VersionId is not null ? "taken" : import.Error is null ? "being taken" : import.DueAt is null ? import.Error : $"retrying, {import.Error}")}";

    private static string StateOf(OciPush push) => push.DoneAt is not null ? "pushed" : push.Error is null ? "queued" : push.DueAt is null ? push.Error : $"retrying, {push.Error}";

    private static string Example(string address) => $$"""
        curl -X PUT {{address}}/api/policies/llamas -H 'Content-Type: application/json' -d '{
          "models": "llama-*",
          "recipes": [
            { "name": "two", "recipe": { "preset": "best", "decomposition": { "bases": 2 } } },
            { "name": "three", "recipe": { "preset": "balanced", "decomposition": { "bases": 3 } } }
          ],
          "gate": { "maxPerplexityRatio": 1.5, "maxBitsPerWeight": 4 }
        }'
        """;
}

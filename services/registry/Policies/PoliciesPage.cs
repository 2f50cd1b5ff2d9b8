using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Pages.Shared;
using Qbb.Registry.Policies;
using static Qbb.Registry.Pages.Shared.Pieces;

namespace Qbb.Registry.Pages;

/// <summary>What becomes of uploads without further hands.</summary>
internal static class PoliciesPage
{
    public static async Task<IResult> Show(HttpContext http, RegistryContext context, TimeProvider clock, CancellationToken cancellation)
    {
        var policies = await context.Policies.AsNoTracking().OrderBy(policy => policy.Name).ToListAsync(cancellation);
        var sections = policies.Count == 0
            ? Nothing(Markup.Of($"<p>There is no policy: uploads are filed, and nothing is done with them until somebody asks.</p>"))
            : Markup.Join(policies.Select(policy => One(policy, clock.GetUtcNow())));
        return PageLayout.Page(http, new PageParts("Policies", Markup.Of($"""
            <p class="lead">A policy says which recipes run on every upload of which models, and what a version must keep to become their champion.</p>
            {sections}
            {PolicyForms.Make()}
            {Section("By a program", Markup.Of($"""
                <p>A policy is replaced as a whole; it applies to uploads from then on. Here one that runs two recipes on models whose names begin with llama:</p>
                {Command(Example(SiteAddress.Of(http)))}
                """))}
            """))
        {
            Area = Area.Policies,
        });
    }

    private static Markup One(Policy policy, DateTimeOffset now) => Markup.Of($"""
        <section id="policy-{policy.Name}"><h2>{policy.Name}</h2>
        {Facts(
        [
            ("Models", Markup.Of($"<code>{policy.Models}</code>{(policy.Models == "*" ? " (all)" : "")}")),
            ("Gate", Text(GateOf(policy.Gate))), ("Changed", Numbers.Ago(policy.UpdatedAt, now)),
        ])}
        {policy.Recipes.Select(recipe => Markup.Of($"<details open><summary>Recipe {recipe.Name}</summary>{RecipeView.Of(recipe.Json)}</details>"))}
        {PolicyForms.Change(policy)}
        </section>
        """);

    private static string GateOf(Gate? gate) => gate is null ? "the registry’s" : string.Join(", ", new[]
    {
        gate.MaxPerplexityRatio is { } ratio ? $"perplexity at most {Numbers.Format(ratio, "0.###")} times the teacher’s" : null,
        gate.MaxKl is { } kl ? $"KL at most {Numbers.Format(kl, "0.####")} nats" : null,
        gate.MaxBitsPerWeight is { } bits ? $"at most {Numbers.Format(bits, "0.###")} bits per weight" : null,
    }.OfType<string>().DefaultIfEmpty("no limits"));

    private static string Example(string address) => $$"""
        curl -X PUT {{address}}/api/policies/llamas -H 'Content-Type: application/json' -d '{
          "models": "llama-*",
          "recipes": [
            { "name": "two", "recipe": { "decomposition": { "bases": 2, "importance": "full" }, "distillation": { "steps": 60 } } },
            { "name": "three", "recipe": { "decomposition": { "bases": 3 } } }
          ],
          "gate": { "maxPerplexityRatio": 1.5, "maxBitsPerWeight": 4 }
        }'
        """;
}

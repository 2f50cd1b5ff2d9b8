using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pipelines.Running;

namespace Qbb.Registry.Policies;

/// <summary>Which recipes run on uploads of which models.</summary>
internal static class PolicyEndpoints
{
    private const int MostRecipes = 100;
    private const int MostPattern = 128;

    public static void MapPolicies(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/policies").WithTags("policies");
        group.MapGet("/", List).WithSummary("Lists policies.");
        group.MapGet("/{name}", Get).WithSummary("Shows a policy.").ProducesProblem(404);
        group.MapPut("/{name}", Put).WithSummary("Makes or replaces a policy; it applies to uploads from now on.").ProducesProblem(412).ProducesProblem(422);
        group.MapDelete("/{name}", Delete).WithSummary("Removes a policy.").ProducesProblem(404);
    }

    private static async Task<Ok<Page<PolicyView>>> List(RegistryContext context, CancellationToken cancellation)
    {
        var policies = await context.Policies.AsNoTracking().OrderBy(policy => policy.Name).ToListAsync(cancellation);
        return TypedResults.Ok(new Page<PolicyView>([.. policies.Select(View)], null));
    }

    private static async Task<Results<Ok<PolicyView>, StatusCodeHttpResult>> Get(
        string name, RegistryContext context, ETags tags, CancellationToken cancellation) =>
        tags.Ok(View(await FindAsync(name, context, cancellation) ?? throw RefusedException.NotFound($"there is no policy {name}")));

    internal static async Task<Results<Ok<PolicyView>, Created<PolicyView>>> Put(
        string name, PolicyChange change, RegistryContext context, ETags tags, TimeProvider clock, CancellationToken cancellation)
    {
        var recipes = Check(name, change);
        var there = await FindAsync(name, context, cancellation);
        tags.Require(there is null ? null : View(there));
        var isNew = there is null;
        if (there is null)
        {
            there = new Policy { Name = name, Models = change.Models!, Recipes = recipes, UpdatedAt = clock.GetUtcNow() };
            context.Policies.Add(there);
        }
        (there.Models, there.Recipes, there.Gate, there.UpdatedAt) = (change.Models!, recipes, change.Gate, clock.GetUtcNow());
        there.Revision++;
        await context.SaveChangesAsync(cancellation);
        return isNew ? TypedResults.Created($"/api/policies/{name}", View(there)) : TypedResults.Ok(View(there));
    }

    internal static async Task<NoContent> Delete(string name, RegistryContext context, ETags tags, CancellationToken cancellation)
    {
        var there = await FindAsync(name, context, cancellation) ?? throw RefusedException.NotFound($"there is no policy {name}");
        tags.Require(View(there));
        context.Policies.Remove(there);
        await context.SaveChangesAsync(cancellation);
        return TypedResults.NoContent();
    }

    private static IReadOnlyList<PolicyRecipe> Check(string name, PolicyChange change)
    {
        var problems = new List<string>();
        if (ModelName.ProblemOf(name) is { } problem)
            problems.Add(problem);
        if (change.Models is not { Length: > 0 and <= MostPattern })
            problems.Add($"models must be a pattern of 1 to {MostPattern} characters, such as * or llama-*");
        if (change.Recipes is not { Count: > 0 and <= MostRecipes })
            problems.Add($"recipes must be 1 to {MostRecipes}");
        problems.AddRange(change.Gate?.Problems() ?? []);
        var recipes = new List<PolicyRecipe>();
        foreach (var recipe in change.Recipes ?? [])
        {
            if (ModelName.ProblemOf(recipe.Name ?? "") is { } wrong)
                problems.Add($"a recipe's name: {wrong}");
            var json = recipe.Recipe?.ToJsonString() ?? "null";
            var inside = RecipeIntake.Problems(json);
            problems.AddRange(inside.Select(wrong => $"{recipe.Name}: {wrong}"));
            if (inside.Count == 0)
                recipes.Add(new PolicyRecipe(recipe.Name!, PipelineRecipe.Parse(json).ToJson()));
        }
        problems.AddRange(recipes.GroupBy(recipe => recipe.Name).Where(same => same.Count() > 1).Select(same => $"two recipes are called {same.Key}"));
        return problems.Count == 0 ? recipes : throw RefusedException.Unusable("the policy cannot be used: " + string.Join("; ", problems), problems);
    }

    internal static Task<Policy?> FindAsync(string name, RegistryContext context, CancellationToken cancellation) =>
        context.Policies.FirstOrDefaultAsync(policy => policy.Name == name, cancellation);

    internal static PolicyView View(Policy policy) => new(
        policy.Name, policy.Models, [.. policy.Recipes.Select(recipe => new NamedRecipe(recipe.Name, JsonNode.Parse(recipe.Json)!))], policy.Gate);
}

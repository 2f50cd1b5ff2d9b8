using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts.Hub;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Hub;
using Qbb.Registry.Oci;
using Qbb.Registry.Pages;
using Qbb.Registry.Pipelines;

namespace Qbb.Registry.Policies;

internal sealed record PolicyServices(RegistryContext Context, ETags Tags, OciOptions Oci, TimeProvider Clock, CancellationToken Cancellation);

/// <summary>Which recipes run on uploads of which models.</summary>
internal static class PolicyEndpoints
{
    private const int MostRecipes = 100;
    private const int MostPattern = 128;
    private const int MostHub = 512;

    public static void MapPolicies(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/policies").WithTags("policies");
        group.MapGet("/", List).WithSummary("Lists policies.");
        group.MapGet("/{name}", Get).WithSummary("Shows a policy.").ProducesProblem(404);
        group.MapPut("/{name}", Put).WithSummary("Creates or replaces a policy; it applies to later uploads.").ProducesProblem(412).ProducesProblem(422);
        group.MapDelete("/{name}", Delete).WithSummary("Removes a policy.").ProducesProblem(404);

        var pages = routes.MapPages("/policies");
        pages.MapGet("", PoliciesPage.Show);
        pages.MapPost("", async (IFormCollection form, [AsParameters] PolicyServices services) =>
        {
            var name = form["name"].ToString().Trim();
            if (await FindAsync(name, services) is not null)
                throw RefusedException.Unusable($"there is a policy {name} already: change it below its name", [$"{name} exists"]);
            await Put(name, PolicyForms.Read(form), services);
            return PolicyForms.See(name);
        });
        pages.MapPost("/{name}", async (string name, [FromForm] string? text, [AsParameters] PolicyServices services) =>
        {
            await Put(name, PolicyForms.Read(text), services);
            return PolicyForms.See(name);
        });
        pages.MapPost("/{name}/remove", async (string name, [AsParameters] PolicyServices services) =>
        {
            await Delete(name, services);
            return new SeeOther("/policies");
        });
    }

    private static async Task<Ok<Page<PolicyView>>> List([AsParameters] PolicyServices services) =>
        TypedResults.Ok(new Page<PolicyView>([.. (await AllAsync(services)).Select(View)], null));

    internal static Task<List<Policy>> AllAsync(PolicyServices services) =>
        services.Context.Policies.AsNoTracking().OrderBy(policy => policy.Name).ToListAsync(services.Cancellation);

    private static async Task<Results<Ok<PolicyView>, StatusCodeHttpResult>> Get(
        string name, [AsParameters] PolicyServices services) =>
        services.Tags.Ok(View(await FindAsync(name, services) ?? throw RefusedException.NotFound($"there is no policy {name}")));

    private static async Task<Results<Ok<PolicyView>, Created<PolicyView>>> Put(string name, PolicyChange change, [AsParameters] PolicyServices services)
    {
        var recipes = Check(name, change, services.Oci);
        var (view, isNew) = await services.Context.ChangeAsync(async () =>
        {
            var there = await FindAsync(name, services);
            services.Tags.Require(there is null ? null : View(there));
            var now = services.Clock.GetUtcNow();
            var policy = there ?? services.Context.Policies.Add(new Policy { Name = name, Models = change.Models!, Recipes = recipes, UpdatedAt = now }).Entity;
            (policy.Models, policy.Recipes, policy.Gate, policy.Mlflow, policy.Oci, policy.Hub, policy.UpdatedAt) = (change.Models!, recipes, change.Gate, change.Mlflow, change.Oci, change.Hub, now);
            policy.Revision++;
            return (View(policy), there is null);
        }, ["policies"], services.Cancellation);
        return isNew ? TypedResults.Created($"/api/policies/{name}", view) : TypedResults.Ok(view);
    }

    private static Task<NoContent> Delete(string name, [AsParameters] PolicyServices services) => services.Context.ChangeAsync(async () =>
    {
        var there = await FindAsync(name, services) ?? throw RefusedException.NotFound($"there is no policy {name}");
        services.Tags.Require(View(there));
        services.Context.Policies.Remove(there);
        return TypedResults.NoContent();
    }, [], services.Cancellation);

    private static IReadOnlyList<PolicyRecipe> Check(string name, PolicyChange change, OciOptions oci)
    {
        var problems = new List<string>();
        if (ModelName.ProblemOf(name) is { } problem)
            problems.Add(problem);
        if (change.Models is not { Length: > 0 and <= MostPattern })
            problems.Add($"models must be a pattern of 1 to {MostPattern} characters, such as * or llama-*");
        if (change.Recipes is not { Count: > 0 and <= MostRecipes })
            problems.Add($"recipes must be 1 to {MostRecipes}");
        problems.AddRange(change.Gate?.Problems() ?? []);
        if (change.Mlflow is { } source)
        {
            if (ModelName.ProblemOf(source.Name ?? "") is { } wrong)
                problems.Add($"mlflow.name {source.Name} cannot be a model's name here: {wrong}");
            else if (change.Models is { } pattern && !Policy.Matches(pattern, source.Name!))
                problems.Add($"mlflow.name {source.Name} does not match models {pattern}: the policy would not apply to what it takes");
            if (string.IsNullOrWhiteSpace(source.Tag) || source.Tag.Length > MostPattern)
                problems.Add($"mlflow.tag must be key or key:value, of at most {MostPattern} characters");
        }
        if (change.Hub is { } hub && ProblemOfHub(hub, change.Models) is { } unusable)
            problems.Add(unusable);
        if (change.Oci is { } target && OciTarget.ProblemOf(target, oci) is { } misled)
            problems.Add(misled);
        var recipes = new List<PolicyRecipe>();
        foreach (var recipe in change.Recipes ?? [])
        {
            if (ModelName.ProblemOf(recipe.Name ?? "") is { } misnamed)
                problems.Add($"a recipe's name: {misnamed}");
            var json = recipe.Recipe?.ToJsonString() ?? "null";
            var inside = RecipeIntake.Problems(json);
            problems.AddRange(inside.Select(wrong => $"{recipe.Name}: {wrong}"));
            if (inside.Count == 0)
                recipes.Add(new PolicyRecipe(recipe.Name!, PipelineRecipe.Parse(json).ToJson()));
        }
        problems.AddRange(recipes.GroupBy(recipe => recipe.Name).Where(same => same.Count() > 1).Select(same => $"two recipes are called {same.Key}"));
        return problems.Count == 0 ? recipes : throw RefusedException.Unusable("the policy cannot be used: " + string.Join("; ", problems), problems);
    }

    private static string? ProblemOfHub(string text, string? pattern)
    {
        if (text.Length > MostHub)
            return $"hub must be at most {MostHub} characters";
        try
        {
            if (HubReference.Parse(text) is not { } reference)
                return $"hub is {text}; write hf:OWNER/NAME, hf:OWNER/NAME/FILE.gguf or hf:OWNER/NAME@REVISION";
            var name = HubImporter.NameOf(reference);
            return ModelName.ProblemOf(name) is { } problem ? $"{name} of hub cannot be a model's name here: {problem}"
                : pattern is not null && !Policy.Matches(pattern, name) ? $"the model {name} of hub does not match models {pattern}: the policy would not apply to what it takes"
                : null;
        }
        catch (InvalidInputException error)
        {
            return $"hub: {error.Message}";
        }
    }

    private static Task<Policy?> FindAsync(string name, PolicyServices services) =>
        services.Context.Policies.FirstOrDefaultAsync(policy => policy.Name == name, services.Cancellation);

    internal static PolicyView View(Policy policy) => new(
        policy.Name, policy.Models, [.. policy.Recipes.Select(recipe => new NamedRecipe(recipe.Name, JsonNode.Parse(recipe.Json)!))], policy.Gate, policy.Mlflow, policy.Oci, policy.Hub);
}

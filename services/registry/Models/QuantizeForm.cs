using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using Qbb.Registry.Pipelines;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Models;

/// <summary>Asks for a quantization by one of the recipes that the registry knows: those of policies, and those that ran before.</summary>
internal static class QuantizeForm
{
    private const int Most = 50;

    public static async Task<Markup> MakeAsync(Model model, IReadOnlyList<VersionView> versions, RegistryContext context, CancellationToken cancellation)
    {
        var uploads = versions.Where(version => version.Kind == VersionKind.Upload).ToList();
        var recipes = await RecipesAsync(context, cancellation);
        if (uploads.Count == 0 || recipes.Count == 0)
            return Markup.Empty;
        var numbers = uploads.Select(version => Markup.Of($"""<option value="{version.Version}">version {version.Version}</option>"""));
        var names = recipes.Select(recipe => Markup.Of($"""<option value="{recipe.Digest}">{recipe.Name}</option>"""));
        return Section("Run another recipe", Markup.Of($"""
            <form method="post" action="/models/{model.Name}/quantize" class="line">
            <label for="of">Upload</label> <select id="of" name="version">{numbers}</select>
            <label for="by">Recipe</label> <select id="by" name="recipe">{names}</select>
            <button>Start</button></form>
            """), "quantize");
    }

    public static async Task<IResult> Start(
        string name, [FromForm] int version, [FromForm] string recipe, RegistryContext context, PipelineDesk desk, CancellationToken cancellation)
    {
        var known = (await RecipesAsync(context, cancellation)).FirstOrDefault(row => row.Digest == recipe);
        if (known.Json is null)
            throw RefusedException.NotFound("the recipe is no longer known: choose another");
        var created = await desk.StartAsync(new PipelineRequest(name, version, JsonNode.Parse(known.Json), known.Name), key: null, cancellation);
        return new SeeOther($"/pipelines/{created.Id}");
    }

    /// <summary>Recipes by digest, the newest name of each.</summary>
    private static async Task<IReadOnlyList<(string Digest, string Name, string Json)>> RecipesAsync(RegistryContext context, CancellationToken cancellation)
    {
        var policies = await context.Policies.AsNoTracking().OrderBy(policy => policy.Name).ToListAsync(cancellation);
        var ran = await context.Pipelines.AsNoTracking().OrderByDescending(pipeline => pipeline.Id).Take(Most)
            .Select(pipeline => new { pipeline.Recipe, pipeline.RecipeName, pipeline.RecipeJson }).ToListAsync(cancellation);
        return [.. policies.SelectMany(policy => policy.Recipes).Select(recipe => (PipelineRecipe.Parse(recipe.Json).Digest.Value, recipe.Name, recipe.Json))
            .Concat(ran.Select(row => (row.Recipe, row.RecipeName ?? row.Recipe[..12], row.RecipeJson)))
            .DistinctBy(recipe => recipe.Item1).Take(Most)];
    }
}

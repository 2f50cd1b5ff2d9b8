using System.Text;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Recipes;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Pipelines;

/// <summary>Recipes that people send.</summary>
internal static class RecipeIntake
{
    private const int MostCharacters = 256 << 10;

    /// <exception cref="RefusedException">It cannot be used; the message lists everything that is wrong.</exception>
    public static PipelineRecipe Parse(string json)
    {
        var problems = Problems(json);
        return problems.Count == 0
            ? PipelineRecipe.Parse(json)
            : throw RefusedException.Unusable("the recipe cannot be used: " + string.Join("; ", problems), problems);
    }

    /// <summary>Everything that is wrong with a recipe; nothing where it can be used.</summary>
    public static IReadOnlyList<string> Problems(string json) =>
        json.Length <= MostCharacters ? RecipeCheck.Problems(json) : [$"the recipe is longer than {MostCharacters >> 10} KiB"];

    /// <summary>The recipe that a pipeline of a model runs by: with what its preset plans, and a type.</summary>
    /// <param name="recipe">It can be used.</param>
    /// <param name="shape">Of the model; null where its files do not say.</param>
    /// <param name="bytes">Of its files.</param>
    /// <param name="options">The workers, and the type of recipes that name none.</param>
    public static PipelineRecipe For(PipelineRecipe recipe, ModelShape? shape, long bytes, PipelineOptions options)
    {
        shape ??= ModelShape.Guess(bytes);
        return recipe.Planned(shape.Counts(bytes), shape.Positions, options.Machine).WithType(options.Type);
    }

    /// <summary>Puts the parts that commands name into the store.</summary>
    /// <exception cref="RefusedException">The text to score on is not in the store.</exception>
    public static async Task StoreAsync(PipelineRecipe recipe, IArtifactStore store, CancellationToken cancellation)
    {
        if (recipe.EvaluationText is { } text && !await store.KeepAsync(text, cancellation))
            throw RefusedException.Invalid($"the recipe's evaluation.text {text} is not in the store: upload it first with PUT /api/blobs/{text}");
        foreach (var (_, part) in recipe.Parts())
        {
            var bytes = Encoding.UTF8.GetBytes(CanonicalJson.Write(part));
            await store.PutAsync(new MemoryStream(bytes), PipelineRecipe.DigestOf(part), cancellation);
        }
    }

    /// <summary>The blobs that a recipe needs.</summary>
    public static IEnumerable<Digest> BlobsOf(PipelineRecipe recipe) =>
        [.. recipe.Preset is null ? recipe.Parts().Select(part => PipelineRecipe.DigestOf(part.Part)) : [], .. recipe.EvaluationText is { } text ? [text] : (Digest[])[]];
}

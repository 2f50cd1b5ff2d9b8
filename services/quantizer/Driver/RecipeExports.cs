using Qbb.Checkpoints;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

/// <summary>What a recipe wants exported with its result, below <c>exports/</c> of its folder.</summary>
internal static class RecipeExports
{
    /// <summary>Where an export is: a GGUF file, or a folder.</summary>
    public static string PathOf(string name) => $"exports/{name}{(GgufExport.Formats.Contains(name) ? ".gguf" : "")}";

    /// <summary>Writes all of them.</summary>
    /// <param name="recipe">With exports, or without.</param>
    /// <param name="folder">The result.</param>
    /// <param name="cancellation">Stops between tensors.</param>
    /// <exception cref="InvalidInputException">A format does not hold the model; the message names those that do.</exception>
    public static void Write(Recipe recipe, string folder, CancellationToken cancellation)
    {
        if (recipe.Exports is not { } exports)
            return;
        using var source = ModelSource.Open(folder);
        Directory.CreateDirectory(Path.Combine(folder, "exports"));
        foreach (var name in exports.Names)
        {
            var path = Path.Combine(folder, PathOf(name));
            if (GgufExport.Formats.Contains(name))
                GgufExport.Write(source, path, name, force: false, cancel: cancellation);
            else
                PackedExport.Write(source, path, name, force: false, cancel: cancellation);
        }
    }
}

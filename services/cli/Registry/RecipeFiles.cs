using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Cli.Registry;

/// <summary>Reads recipes of pipelines, and refuses at once what the workers would refuse later.</summary>
internal static class RecipeFiles
{
    /// <exception cref="InvalidInputException">It cannot be read, or its parts cannot be used; the message lists what is wrong.</exception>
    public static PipelineRecipe Read(string file)
    {
        try
        {
            var json = File.ReadAllText(file);
            var problems = RecipeCheck.Problems(json);
            return problems.Count == 0
                ? PipelineRecipe.Parse(json)
                : throw new InvalidInputException($"{file}: the recipe cannot be used: {string.Join("; ", problems)}");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{file}: {error.Message}", error);
        }
    }

    /// <summary>Recipes by the names of their files.</summary>
    /// <exception cref="InvalidInputException">As <see cref="Read"/>; or two files have one name.</exception>
    public static Dictionary<string, PipelineRecipe> ReadAll(IEnumerable<string> files)
    {
        var recipes = new Dictionary<string, PipelineRecipe>();
        foreach (var file in files)
        {
            if (!recipes.TryAdd(NameOf(file), Read(file)))
                throw new InvalidInputException($"two recipes are called {NameOf(file)}", "rename a file, a recipe is called after its own");
        }
        return recipes;
    }

    public static string NameOf(string file) => Path.GetFileNameWithoutExtension(file);
}

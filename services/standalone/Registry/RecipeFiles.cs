using Qbb.Contracts;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Standalone.Registry;

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
}

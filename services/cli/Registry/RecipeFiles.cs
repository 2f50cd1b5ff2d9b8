using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Cli.Registry;

/// <summary>Reads recipes of pipelines, and refuses at once what the workers would refuse later.</summary>
internal static class RecipeFiles
{
    /// <exception cref="InvalidInputException">It cannot be read, or its parts cannot be used; the message lists what is wrong.</exception>
    public static PipelineRecipe Read(string file) => Read(file, json =>
    {
        _ = QuantizationRecipe.Parse(json);
        return PipelineRecipe.Parse(json);
    });

    /// <summary>The parts that quantize a model, with a type for those that name none.</summary>
    /// <exception cref="InvalidInputException">As <see cref="Read(string)"/>.</exception>
    public static QuantizationRecipe ReadQuantization(string file, Precision? usual = null) => Read(file, json => QuantizationRecipe.Parse(json, usual));

    private static T Read<T>(string file, Func<string, T> parse)
    {
        try
        {
            return parse(File.ReadAllText(file));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidInputException)
        {
            throw new InvalidInputException($"{file}: {error.Message}", error);
        }
    }

    /// <summary>Recipes by the names of their files.</summary>
    /// <exception cref="InvalidInputException">As <see cref="Read(string)"/>; or two files have one name.</exception>
    public static Dictionary<string, PipelineRecipe> ReadAll(IEnumerable<string> files)
    {
        var recipes = new Dictionary<string, PipelineRecipe>();
        foreach (var file in files)
        {
            if (!recipes.TryAdd(NameOf(file), Read(file)))
                throw new InvalidInputException($"two recipes are called {NameOf(file)}", "rename one file: recipes are named after their files");
        }
        return recipes;
    }

    public static string NameOf(string file) => Path.GetFileNameWithoutExtension(file);
}

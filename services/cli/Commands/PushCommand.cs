using System.CommandLine;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Registry.Models;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb push</c>: a model to a registry, which quantizes it as its policies say.</summary>
internal sealed partial class PushCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _name = new("--name") { Description = "The model's name there. Default: that of the folder or file." };
    private readonly Option<string?> _recipe = new("--recipe") { Description = "Run this recipe (a JSON file) instead of what the policies ask for." };
    private readonly Option<string> _url = RegistryAddress.Option();

    public PushCommand() : base("push", "Uploads a model to a registry, which quantizes it without further hands.",
        "qbb push MODEL --name tiny",
        "qbb push model.gguf --url http://registry:8080 --json",
        "qbb push MODEL --recipe two-bases.json")
    {
        Arguments.Add(_model);
        foreach (var option in new Option[] { _name, _recipe, _url })
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var model = parsed.GetRequiredValue(_model);
        var name = parsed.GetValue(_name) ?? NameOf(model);
        var recipe = parsed.GetValue(_recipe) is { } file ? RecipeFiles.Read(file) : null;
        if (ModelName.ProblemOf(name) is { } problem)
            throw new InvalidInputException($"{name} cannot be the model's name there ({problem}): choose another with --name");
        var address = parsed.GetRequiredValue(_url);
        using var client = new RegistryClient(RegistryAddress.Parse(address));
        // Before a large model is read for nothing.
        client.GetAsync("api/models?limit=1", cancel).GetAwaiter().GetResult();
        var files = ProgressBars.Run(output, "uploading", report => Uploading.RunAsync(client, model, report, cancel).GetAwaiter().GetResult());
        var version = PostAsync(client, name, files, parsed.GetValue(_recipe), recipe, cancel).GetAwaiter().GetResult();
        var pipelines = version["pipelines"]!.AsArray();
        output.Result(version, _ =>
        {
            Console.Out.WriteLine($"{version["model"]} version {version["version"]}, {version["manifest"]}");
            Console.Out.WriteLine($"see it at {client.Address}models/{version["model"]}");
            Console.Out.WriteLine(pipelines.Count == 0
                ? "nothing is started: the same files were there already, or no policy asks for anything; ask yourself with --recipe FILE"
                : $"pipelines started: {pipelines.Count}; follow with  qbb watch {version["model"]}{RegistryAddress.OptionFor(address)}");
        });
    }

    /// <summary>
    /// The folder's name, dots and all; a GGUF file's without its ending and the number of its piece; of a snapshot in the Hugging Face
    /// cache (models--OWNER--NAME/snapshots/REVISION) the repository's.
    /// </summary>
    internal static string NameOf(string model)
    {
        var path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(model));
        if (!Directory.Exists(path))
            return GgufEnding().Replace(Path.GetFileName(path), "");
        var repository = Path.GetFileName(Path.GetDirectoryName(Path.GetDirectoryName(path) ?? "") ?? "");
        return Path.GetFileName(Path.GetDirectoryName(path)) == "snapshots" && repository.StartsWith("models--", StringComparison.Ordinal)
            ? repository[(repository.LastIndexOf("--", StringComparison.Ordinal) + 2)..]
            : Path.GetFileName(path);
    }

    [GeneratedRegex(@"(-[0-9]{5}-of-[0-9]{5})?\.[^.]*$", RegexOptions.CultureInvariant)]
    private static partial Regex GgufEnding();

    private static async Task<JsonObject> PostAsync(
        RegistryClient client, string name, JsonArray files, string? file, PipelineRecipe? recipe, CancellationToken cancel)
    {
        var path = $"api/models/{Uri.EscapeDataString(name)}/versions";
        var version = await client.PostAsync(path, new JsonObject { ["files"] = files, ["quantize"] = recipe is null }, cancel);
        if (recipe is null)
            return version;
        var pipeline = await client.PostAsync("api/pipelines", new JsonObject
        {
            ["model"] = version["model"]!.DeepClone(),
            ["version"] = version["version"]!.DeepClone(),
            ["recipe"] = JsonNode.Parse(recipe.ToJson()),
            ["name"] = RecipeFiles.NameOf(file!),
        }, cancel);
        version["pipelines"] = new JsonArray(pipeline["id"]!.DeepClone());
        return version;
    }
}

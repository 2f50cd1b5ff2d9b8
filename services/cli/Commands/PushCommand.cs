using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Qbb.Checkpoints;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb push</c>: a model to a registry, which quantizes it as its policies say.</summary>
internal sealed partial class PushCommand : AsyncCommand
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _name = new("--name") { Description = "The model's name there. Default: that of the folder or file." };
    private readonly Option<string?> _recipe = new("--recipe") { Description = "Run this recipe (a JSON file) instead of the policies' recipes." };
    private readonly Option<bool> _store = new("--no-quantize") { Description = "Only store the model: start no pipeline, and accept families that qbb cannot quantize." };
    private readonly Option<string> _url = RegistryAddress.Option();

    public PushCommand() : base("push", "Uploads a model to a registry, which quantizes it automatically.",
        "qbb push MODEL --name tiny",
        "qbb push model.gguf --url http://registry:8080 --json",
        "qbb push MODEL --recipe two-bases.json")
    {
        Arguments.Add(_model);
        foreach (var option in new Option[] { _name, _recipe, _store, _url })
            Options.Add(option);
    }

    protected override async Task RunAsync(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var model = parsed.GetRequiredValue(_model);
        var name = parsed.GetValue(_name) ?? NameOf(model);
        var recipe = parsed.GetValue(_recipe) is { } file ? RecipeFiles.Read(file) : null;
        var isStored = parsed.GetValue(_store);
        if (isStored && recipe is not null)
            throw new InvalidInputException("--no-quantize and --recipe contradict each other: give one of them");
        if (ModelName.ProblemOf(name) is { } problem)
            throw new InvalidInputException($"{name} cannot be the model's name there ({problem})", "choose another with --name");
        var address = parsed.GetRequiredValue(_url);
        using var registry = RegistryAddress.Connect(address);
        // Before a large model is read for nothing.
        await registry.ListModelsAsync(limit: 1, cancellation: cancel);
        if (!isStored)
            WarnOfTokenizer(model, output);
        var files = await ProgressBars.RunAsync(output, "uploading", report => Uploading.RunAsync(registry, model, !isStored, report, cancel));
        var version = await registry.CreateVersionAsync(name, new VersionRequest(files, Quantize: recipe is null && !isStored), NewKey(), cancel);
        if (recipe is not null)
        {
            var request = new PipelineRequest(version.Model, version.Version, JsonNode.Parse(recipe.ToJson()), RecipeFiles.NameOf(parsed.GetValue(_recipe)!));
            version = version with { Pipelines = [(await registry.StartPipelineAsync(request, NewKey(), cancel)).Id] };
        }
        output.Result(JsonSerializer.SerializeToNode(version, Wire.Json)!.AsObject(), _ =>
        {
            Console.Out.WriteLine($"{version.Model} version {version.Version}, {version.Manifest}");
            Console.Out.WriteLine($"see it at {registry.AddressOf()}models/{version.Model}");
            Console.Out.WriteLine(isStored ? "stored; no pipeline started" : version.Note is { } note ? note : version.Pipelines.Count == 0
                ? "no pipeline started: these files are already a version, or no policy applies; use --recipe FILE to start one"
                : $"pipelines started: {version.Pipelines.Count}; follow with  qbb watch {version.Model}{RegistryAddress.OptionFor(address)}");
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

    /// <summary>A stage that scores on a text comes last, hours later.</summary>
    private static void WarnOfTokenizer(string model, Output output)
    {
        using var source = ModelSource.Open(model);
        if (source.TokenizerJsonPath is null && source.GgufMetadata is null)
            output.Warning($"{model} has no tokenizer.json: recipes that evaluate on a text will fail, and its versions cannot generate");
    }

    // A proxy that sends a request twice starts nothing twice.
    private static string NewKey() => Guid.NewGuid().ToString();
}

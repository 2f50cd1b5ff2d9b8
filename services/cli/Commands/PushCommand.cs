using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Qbb.Artifacts.Oci;
using Qbb.Checkpoints;
using Qbb.Cli.Hub;
using Qbb.Cli.Quantizing;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;
using Qbb.Recipes;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb push</c>: a model to a registry, which quantizes it as its policies say.</summary>
internal sealed partial class PushCommand : AsyncCommand
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Argument<string?> _target = new("TARGET") { Description = "oci://HOST/NAME:TAG: send the model to an OCI registry instead, as a ModelPack artifact. MODEL may then be a version of the registry, such as tiny@champion.", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<bool> _plain = OciTransfers.PlainHttp();
    private readonly Option<string?> _name = new("--name") { Description = "The model's name there. Default: that of the folder or file." };
    private readonly Option<string?> _recipe = new("--recipe") { Description = "Run this recipe (a JSON file) instead of the policies' recipes." };
    private readonly Option<Preset?> _preset = new("--preset") { Description = "Run this preset's plan for the model and the registry's workers instead of the policies' recipes." };
    private readonly Option<int?> _bases = new("--bases", "-n") { Description = "With --preset: N, binary matrices per layer, 1 to 8. Default: 4." };
    private readonly Option<bool> _store = new("--no-quantize") { Description = "Only store the model: start no pipeline, and accept families that qbb cannot quantize." };
    private readonly Option<string> _url = RegistryAddress.Option();

    public PushCommand() : base("push", "Uploads a model to a registry, which quantizes it automatically.",
        "qbb push MODEL --name tiny",
        "qbb push model.gguf --url http://registry:8080 --json",
        "qbb push hf:HuggingFaceTB/SmolLM2-135M-Instruct --preset balanced --bases 3",
        "qbb push MODEL --recipe two-bases.json",
        "qbb push mlflow:/llama/3 --recipe two-bases.json",
        "qbb push tiny@champion oci://registry.example.com/models/tiny:v2")
    {
        Arguments.Add(_model);
        Arguments.Add(_target);
        foreach (var option in new Option[] { _name, _preset, _bases, _recipe, _store, _url, _plain })
            Options.Add(option);
        Validators.Add(result =>
        {
            if (new[] { result.GetValue(_preset) is not null, result.GetValue(_recipe) is not null, result.GetValue(_store) }.Count(given => given) > 1)
                result.AddError("--preset, --recipe and --no-quantize contradict each other: give one of them");
            if (result.GetValue(_bases) is not null && result.GetValue(_preset) is null)
                result.AddError("--bases goes with --preset");
            if (result.GetValue(_target) is not null && (result.GetValue(_preset) is not null || result.GetValue(_recipe) is not null || result.GetValue(_store)))
                result.AddError("--preset, --recipe and --no-quantize are for a registry that quantizes, not for TARGET");
        });
    }

    protected override string Kept => "the registry keeps the files that arrived";

    protected override async Task RunAsync(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var model = parsed.GetRequiredValue(_model);
        if (parsed.GetValue(_target) is { } target)
        {
            await PackAsync(parsed, model, OciReference.Parse(target), output, cancel);
            return;
        }
        var remote = MlflowReference.Parse(model);
        if (remote is null)
            model = await HubModels.LocalAsync(model, output, cancel);
        var name = parsed.GetValue(_name) ?? remote?.Name ?? NameOf(model);
        var (recipe, recipeName) = RecipeOf(parsed);
        var isStored = parsed.GetValue(_store);
        if (ModelName.ProblemOf(name) is { } problem)
            throw new InvalidInputException($"{name} cannot be the model's name there ({problem})", "choose another with --name");
        var address = parsed.GetRequiredValue(_url);
        using var registry = RegistryAddress.Connect(parsed, _url, output);
        // One trace from the upload on, which the registry and its workers continue.
        using var trace = new Activity("qbb push") { ActivityTraceFlags = ActivityTraceFlags.Recorded }.Start();
        // Before a large model is read for nothing.
        await registry.ListModelsAsync(limit: 1, cancellation: cancel);
        var version = remote is not null
            ? await registry.ImportAsync(new MlflowImportRequest(remote.Name, remote.Version, name, Quantize: recipe is null && !isStored), cancel)
            : await UploadAsync(registry, model, name, recipe is null && !isStored, isStored, output, cancel);
        if (recipe is not null)
        {
            var request = new PipelineRequest(version.Model, version.Version, JsonNode.Parse(recipe.ToJson()), recipeName!);
            version = version with { Pipelines = [(await registry.StartPipelineAsync(request, cancellation: cancel)).Id] };
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

    /// <summary>Sends a model to an OCI registry: a folder or file, else a version of the qbb registry.</summary>
    private async Task PackAsync(ParseResult parsed, string model, OciReference target, Output output, CancellationToken cancel)
    {
        JsonObject sent;
        if (Path.Exists(model) || !model.Contains('@'))
        {
            model = await HubModels.LocalAsync(model, output, cancel);
            var name = parsed.GetValue(_name) ?? NameOf(model);
            sent = await ProgressBars.RunAsync(output, "uploading", report => OciTransfers.PushFolderAsync(model, name, target, parsed.GetValue(_plain), report, cancel));
        }
        else
        {
            var (name, reference) = ModelReference.ParseVersion(model);
            using var registry = RegistryAddress.Connect(parsed, _url, output);
            var version = await registry.VersionAsync(name, reference, cancel);
            sent = await ProgressBars.RunAsync(output, "uploading", report => OciTransfers.PushVersionAsync(registry, version, target, parsed.GetValue(_plain), report, cancel));
        }
        output.Result(sent, _ => Console.Out.WriteLine($"{target}: {sent["files"]} files ({sent["sent"]} sent, the others were there), {sent["digest"]}"));
    }

    private static async Task<UploadedVersion> UploadAsync(
        IRegistryApi registry, string model, string name, bool quantize, bool isStored, Output output, CancellationToken cancel)
    {
        if (!isStored)
            WarnOfTokenizer(model, output);
        var files = await ProgressBars.RunAsync(output, "uploading", report => Uploading.RunAsync(registry, model, !isStored, report, cancel));
        return await registry.CreateVersionAsync(name, new VersionRequest(files, Quantize: quantize), cancellation: cancel);
    }

    /// <summary>The recipe of a file or of a preset, and its name; null for those of the policies.</summary>
    private (PipelineRecipe? Recipe, string? Name) RecipeOf(ParseResult parsed)
    {
        if (parsed.GetValue(_recipe) is { } file)
            return (RecipeFiles.Read(file), RecipeFiles.NameOf(file));
        if (parsed.GetValue(_preset) is not { } preset)
            return (null, null);
        var bases = parsed.GetValue(_bases) ?? new Recipe().Bases;
        var recipe = new PipelineRecipe(new JsonObject { ["bases"] = bases }, null, null, null, []) { Preset = preset.NameOf() };
        return (recipe, $"{preset.NameOf()}-{bases}");
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
}

/// <summary>A registered model's version in MLflow: mlflow:/NAME/VERSION, or an alias in the version's place. The registry fetches it.</summary>
internal sealed record MlflowReference(string Name, string Version)
{
    private const string Scheme = "mlflow:/";

    /// <summary>The reference; null if the text is a path.</summary>
    /// <exception cref="InvalidInputException">It has the scheme but not the form of a reference.</exception>
    public static MlflowReference? Parse(string text) => !text.StartsWith(Scheme, StringComparison.Ordinal) ? null
        : text[Scheme.Length..].Split('/') is [{ Length: > 0 } name, { Length: > 0 } version] ? new(name, version)
        : throw new InvalidInputException($"{text} does not name a version in MLflow", "write mlflow:/NAME/VERSION or mlflow:/NAME/ALIAS");
}

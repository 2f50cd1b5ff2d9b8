using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Commands;

/// <summary>A command of one request or a few to a registry.</summary>
internal abstract class RegistryCommand : AsyncCommand
{
    private readonly Option<string> _url = RegistryAddress.Option();

    protected RegistryCommand(string name, string description, params string[] examples) : base(name, description, examples) => Options.Add(_url);

    protected abstract Task RunAsync(IRegistryApi registry, ParseResult parsed, Output output, CancellationToken cancel);

    protected sealed override async Task RunAsync(ParseResult parsed, Output output, CancellationToken cancel)
    {
        using var registry = RegistryAddress.Connect(parsed, _url, output);
        await RunAsync(registry, parsed, output, cancel);
    }

    protected static JsonNode Json<T>(T value) => JsonSerializer.SerializeToNode(value, Wire.Json)!;
}

/// <summary><c>qbb ls</c>: models, or a model's versions.</summary>
internal sealed class ListCommand : RegistryCommand
{
    private const int PageSize = 200;
    private readonly Argument<string?> _model = new("MODEL") { Description = "List this model's versions instead.", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<string?> _query = new("--query", "-q") { Description = "Only models with this text in name or description.", HelpName = "TEXT" };

    public ListCommand() : base("ls", "Lists a registry's models, or the versions of one.", "qbb ls", "qbb ls tiny", "qbb ls --query llama --json")
    {
        Arguments.Add(_model);
        Options.Add(_query);
    }

    protected override async Task RunAsync(IRegistryApi registry, ParseResult parsed, Output output, CancellationToken cancel)
    {
        if (parsed.GetValue(_model) is not { } name)
        {
            var models = await RegistryAddress.AllAsync(after => registry.ListModelsAsync(parsed.GetValue(_query), after, PageSize, cancel));
            output.Result(new JsonObject { ["models"] = Json(models) }, _ => RegistryTables.Print(models));
            return;
        }
        if (parsed.GetValue(_query) is not null)
            throw new UsageException("--query searches models: leave out MODEL");
        await registry.ModelAsync(name, cancel);
        var versions = await RegistryAddress.AllAsync(after => registry.ListVersionsAsync(name, after is null ? null : int.Parse(after, null), PageSize, cancel));
        output.Result(new JsonObject { ["model"] = name, ["versions"] = Json(versions) }, _ => RegistryTables.Print(versions));
    }
}

/// <summary><c>qbb show</c>: a model, a version or a pipeline.</summary>
internal sealed class ShowCommand : RegistryCommand
{
    private readonly Argument<string> _what = new("MODEL[@VERSION]") { Description = "A model, a version by number or alias, or a pipeline's id." };

    public ShowCommand() : base("show", "Shows a model with its gate and pipelines, a version with its metrics, lineage and files, or a pipeline.",
        "qbb show tiny", "qbb show tiny@champion", "qbb show 01a2190b-4bed-754b-a4a6-5b09073c2fe1 --json") => Arguments.Add(_what);

    protected override async Task RunAsync(IRegistryApi registry, ParseResult parsed, Output output, CancellationToken cancel)
    {
        var text = parsed.GetRequiredValue(_what);
        if (Guid.TryParse(text, out var id))
        {
            var pipeline = await registry.GetPipelineAsync(id, cancel);
            output.Result(Json(pipeline).AsObject(), _ => RegistryTables.Print(pipeline));
            return;
        }
        var (name, reference) = ModelReference.Parse(text);
        if (reference is not null)
        {
            var version = await registry.VersionAsync(name, reference, cancel);
            output.Result(Json(version).AsObject(), _ => RegistryTables.Print(version));
            return;
        }
        var model = await registry.ModelAsync(name, cancel);
        var gate = await registry.GetGateAsync(name, cancel);
        var pipelines = (await registry.ListPipelinesAsync(name, limit: 20, cancellation: cancel)).Items;
        var json = Json(model).AsObject();
        (json["gate"], json["pipelines"]) = (Json(gate), Json(pipelines));
        output.Result(json, _ => RegistryTables.Print(model, gate, pipelines));
    }
}

/// <summary><c>qbb rm</c>: deletes a model or a version, which can be restored until garbage collection.</summary>
internal sealed class RemoveCommand : RegistryCommand
{
    private readonly Argument<string> _what = new("MODEL[@VERSION]") { Description = "A model with all its versions, or one version." };
    private readonly Option<bool> _restore = new("--restore") { Description = "Restore what was deleted." };

    public RemoveCommand() : base("rm", "Deletes a model or a version; --restore brings it back until garbage collection.",
        "qbb rm tiny@3", "qbb rm tiny", "qbb rm tiny@3 --restore")
    {
        Arguments.Add(_what);
        Options.Add(_restore);
    }

    protected override async Task RunAsync(IRegistryApi registry, ParseResult parsed, Output output, CancellationToken cancel)
    {
        var text = parsed.GetRequiredValue(_what);
        var (name, reference) = ModelReference.Parse(text);
        if (parsed.GetValue(_restore))
        {
            var restored = reference is null ? Json(await registry.RestoreModelAsync(name, cancel)) : Json(await registry.RestoreVersionAsync(name, reference, cancel));
            output.Result(restored.AsObject(), _ => Console.Out.WriteLine($"restored {text}"));
            return;
        }
        var json = new JsonObject { ["model"] = name };
        if (reference is null)
        {
            await registry.ModelAsync(name, cancel);
            await registry.DeleteModelAsync(name, cancel);
        }
        else
        {
            var version = await registry.VersionAsync(name, reference, cancel);
            // An alias that moved meanwhile must not delete another version.
            await registry.DeleteVersionAsync(name, $"{version.Version}", cancel);
            json["version"] = version.Version;
            text = $"{name}@{version.Version}";
        }
        output.Result(json, _ => Console.Out.WriteLine($"deleted {text}; until garbage collection  qbb rm {text} --restore  brings it back"));
    }
}

/// <summary><c>qbb tag</c>: notes on a version.</summary>
internal sealed class TagCommand : RegistryCommand
{
    private readonly Argument<string> _version = new("MODEL@VERSION") { Description = "The version, by number or alias." };
    private readonly Argument<string[]> _tags = new("KEY=VALUE") { Description = "Tags to set; none to list them.", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<string[]> _remove = new("--remove") { Description = "Tags to remove.", HelpName = "KEY", AllowMultipleArgumentsPerToken = true };

    public TagCommand() : base("tag", "Lists, sets and removes tags of a version.", "qbb tag tiny@2", "qbb tag tiny@2 team=red stage=test", "qbb tag tiny@champion --remove stage")
    {
        Arguments.Add(_version);
        Arguments.Add(_tags);
        Options.Add(_remove);
    }

    protected override async Task RunAsync(IRegistryApi registry, ParseResult parsed, Output output, CancellationToken cancel)
    {
        var (name, reference) = ModelReference.ParseVersion(parsed.GetRequiredValue(_version));
        var tags = (parsed.GetValue(_tags) ?? []).Select(text => text.Split('=', 2)).ToList();
        if (tags.FirstOrDefault(tag => tag.Length != 2 || tag[0].Length == 0) is { } wrong)
            throw new UsageException($"{string.Join('=', wrong)} is not a tag: write KEY=VALUE");
        var version = $"{(await registry.VersionAsync(name, reference, cancel)).Version}";
        foreach (var tag in tags)
            await registry.SetTagAsync(name, version, tag[0], new TagValue(tag[1]), cancel);
        foreach (var key in parsed.GetValue(_remove) ?? [])
            await registry.RemoveTagAsync(name, version, key, cancel);
        var now = await registry.ListTagsAsync(name, version, cancel);
        output.Result(new JsonObject { ["model"] = name, ["version"] = int.Parse(version, null), ["tags"] = Json(now) }, _ =>
        {
            foreach (var (key, value) in now.OrderBy(tag => tag.Key, StringComparer.Ordinal))
                Console.Out.WriteLine($"{key}={value}");
            if (now.Count == 0)
                Console.Out.WriteLine("no tags");
        });
    }
}

/// <summary><c>qbb alias</c>: names that point to versions.</summary>
internal sealed class AliasCommand : RegistryCommand
{
    private readonly Argument<string> _version = new("MODEL[@VERSION]") { Description = "The version to point to, by number or another alias; a model alone to list or remove." };
    private readonly Argument<string?> _alias = new("ALIAS") { Description = "The alias to set.", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<string?> _remove = new("--remove") { Description = "The alias to remove; its version stays.", HelpName = "ALIAS" };

    public AliasCommand() : base("alias", "Lists a model's aliases, points one to a version, or removes one.", "qbb alias tiny", "qbb alias tiny@2 prod", "qbb alias tiny --remove prod")
    {
        Arguments.Add(_version);
        Arguments.Add(_alias);
        Options.Add(_remove);
    }

    protected override async Task RunAsync(IRegistryApi registry, ParseResult parsed, Output output, CancellationToken cancel)
    {
        var text = parsed.GetRequiredValue(_version);
        var (name, reference) = ModelReference.Parse(text);
        var (alias, remove) = (parsed.GetValue(_alias), parsed.GetValue(_remove));
        if (alias is not null && remove is not null)
            throw new UsageException("give an alias to set, or --remove");
        if (reference is not null && alias is null)
            throw new UsageException($"give the alias that is to point to {text}");
        if (alias is not null)
        {
            (name, reference) = ModelReference.ParseVersion(text);
            if (ModelName.ProblemOfAlias(alias) is { } problem)
                throw new InvalidInputException($"{alias} cannot be an alias", problem);
            var version = await registry.VersionAsync(name, reference, cancel);
            await registry.SetAliasAsync(name, alias, new AliasChange(version.Version), cancel);
        }
        await registry.ModelAsync(name, cancel);
        if (remove is not null)
            await registry.RemoveAliasAsync(name, remove, cancel);
        var now = await registry.ListAliasesAsync(name, cancel);
        output.Result(new JsonObject { ["model"] = name, ["aliases"] = Json(now) }, _ =>
        {
            foreach (var (key, version) in now.OrderBy(one => one.Key, StringComparer.Ordinal))
                Console.Out.WriteLine($"{key}  {name}@{version}");
            if (now.Count == 0)
                Console.Out.WriteLine("no aliases");
        });
    }
}

using System.CommandLine;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Registry;

/// <summary>Where the registry is.</summary>
internal static class RegistryAddress
{
    public const string Usual = "http://localhost:8080";
    private const string Variable = "QBB_URL";

    public static Option<string> Option() => new("--url")
    {
        Description = $"Address of the registry. Default: {Variable}, or {Usual}.",
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable(Variable) ?? Usual,
    };

    public static Uri AddressOf(this IRegistryApi registry) => registry.Client.BaseAddress!;

    /// <summary>What a command needs to find the same registry; empty where it looks there anyway.</summary>
    public static string OptionFor(string address) => address == Usual ? "" : $" --url {address}";

    /// <summary>A client of the registry at a command's address; dispose it.</summary>
    /// <exception cref="InvalidInputException">The URL is invalid.</exception>
    public static IRegistryApi Connect(ParseResult parsed, Option<string> option, Output output)
    {
        var retries = new RetryOptions { Clock = ((ProgramCommand)parsed.RootCommandResult.Command).Clock };
        return RegistryApi.Connect(Parse(parsed.GetRequiredValue(option)), retries with
        {
            OnRetry = reason => output.Note($"the registry does not answer ({reason.TrimEnd('.')}); retrying for up to {retries.Limit.TotalMinutes:0} minutes"),
        });
    }

    /// <exception cref="InvalidInputException">The URL is invalid.</exception>
    public static Uri Parse(string text) => Uri.TryCreate(text.TrimEnd('/') + "/", UriKind.Absolute, out var uri) && uri.Scheme is ("http" or "https")
        ? uri
        : throw new InvalidInputException($"invalid URL {text}", $"give the address of a registry, such as {Usual}");

    /// <summary>A model; if it does not exist, the message says where to look.</summary>
    public static async Task<ModelView> ModelAsync(this IRegistryApi registry, string name, CancellationToken cancel)
    {
        try
        {
            return await registry.GetModelAsync(name, cancel);
        }
        catch (RegistryRefusedException error)
        {
            throw new InvalidInputException($"{error.Message} at {registry.AddressOf()}; its models are listed there, and qbb push uploads another", error);
        }
    }

    /// <summary>A version; if it does not exist, the message lists those that do.</summary>
    public static async Task<VersionView> VersionAsync(this IRegistryApi registry, string name, string reference, CancellationToken cancel)
    {
        var model = await registry.ModelAsync(name, cancel);
        try
        {
            return await registry.GetVersionAsync(name, reference, cancel);
        }
        catch (RegistryRefusedException error)
        {
            var aliases = model.Aliases.Select(alias => $"{alias.Key} (version {alias.Value})").DefaultIfEmpty("none");
            var hint = reference == ModelReference.Champion ? $"; the first version that passes the gate becomes the champion, see  qbb watch {name}" : "";
            throw new InvalidInputException($"{error.Message}. Its newest version is {model.Latest}, its aliases: {string.Join(", ", aliases)}{hint}", error);
        }
    }

    /// <summary>The pipelines of a command line: the one with the id, or the newest of each recipe of the model's newest version that has any.</summary>
    public static async Task<IReadOnlyList<PipelineView>> PipelinesAsync(this IRegistryApi registry, string text, CancellationToken cancel)
    {
        if (Guid.TryParse(text, out var id))
            return [await registry.GetPipelineAsync(id, cancel)];
        await registry.ModelAsync(text, cancel);
        var pipelines = (await registry.ListPipelinesAsync(text, limit: 500, cancellation: cancel)).Items;
        if (pipelines.Count == 0)
            throw new InvalidInputException($"{text} has no pipelines: no policy applies to it", $"push it with --recipe FILE, or see {registry.AddressOf()}policies");
        var newest = pipelines.Max(pipeline => pipeline.Version);
        return [.. pipelines.Where(pipeline => pipeline.Version == newest).DistinctBy(pipeline => pipeline.Recipe).Reverse()];
    }

    /// <summary>All pages of a list.</summary>
    public static async Task<List<T>> AllAsync<T>(Func<string?, Task<Page<T>>> read)
    {
        List<T> all = [];
        string? after = null;
        do
        {
            var page = await read(after);
            all.AddRange(page.Items);
            after = page.Next;
        }
        while (after is not null);
        return all;
    }
}

/// <summary>A model, and perhaps one of its versions: tiny, tiny@2, tiny@champion.</summary>
internal sealed record ModelReference(string Model, string? Version)
{
    public const string Champion = "champion";

    /// <exception cref="InvalidInputException">It is neither.</exception>
    public static ModelReference Parse(string text) => text.Split('@') switch
    {
        [{ Length: > 0 } model] => new(model, null),
        [{ Length: > 0 } model, { Length: > 0 } version] => new(model, version),
        _ => throw new InvalidInputException($"{text} is not a version", "give one such as tiny@champion or tiny@2"),
    };

    /// <summary>The same where the version must be said.</summary>
    public static (string Model, string Version) ParseVersion(string text) => Parse(text) is { Version: { } version } reference ? (reference.Model, version)
        : throw new InvalidInputException($"{text} names no version", $"give one such as {text}@champion or {text}@2");
}

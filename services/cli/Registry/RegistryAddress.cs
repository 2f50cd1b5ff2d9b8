using System.CommandLine;

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

    /// <summary>A client of the registry at an address; dispose it.</summary>
    /// <exception cref="InvalidInputException">The URL is invalid.</exception>
    public static IRegistryApi Connect(string text) => RegistryApi.Connect(Parse(text));

    /// <exception cref="InvalidInputException">The URL is invalid.</exception>
    public static Uri Parse(string text) => Uri.TryCreate(text.TrimEnd('/') + "/", UriKind.Absolute, out var uri) && uri.Scheme is ("http" or "https")
        ? uri
        : throw new InvalidInputException($"invalid URL {text}: give the address of a registry, such as {Usual}");

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
}

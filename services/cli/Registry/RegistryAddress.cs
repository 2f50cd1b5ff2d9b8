using System.CommandLine;
using Qbb.Models;

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

    /// <summary>What a command needs to find the same registry; empty where it looks there anyway.</summary>
    public static string OptionFor(string address) => address == Usual ? "" : $" --url {address}";

    /// <exception cref="InvalidInputException">It is no address.</exception>
    public static Uri Parse(string text) => Uri.TryCreate(text.TrimEnd('/') + "/", UriKind.Absolute, out var uri) && uri.Scheme is ("http" or "https")
        ? uri
        : throw new InvalidInputException($"{text} is no address of a registry; give one such as {Usual}");
}

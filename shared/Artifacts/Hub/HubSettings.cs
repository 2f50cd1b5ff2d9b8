using Qbb.Contracts;

namespace Qbb.Artifacts.Hub;

/// <summary>Where the hub is and where its files are cached: the variables of Hugging Face's own tools, so that both share one cache.</summary>
/// <param name="Endpoint">HF_ENDPOINT.</param>
/// <param name="CacheFolder">HF_HUB_CACHE, or hub below HF_HOME.</param>
/// <param name="Token">HF_TOKEN, or what <c>hf auth login</c> stored; null for none.</param>
/// <param name="IsOffline">HF_HUB_OFFLINE: the cache alone.</param>
public sealed record HubSettings(Uri Endpoint, string CacheFolder, string? Token, bool IsOffline)
{
    /// <exception cref="InvalidInputException">HF_ENDPOINT is not a URL.</exception>
    public static HubSettings FromEnvironment() => From(Environment.GetEnvironmentVariable);

    /// <param name="variable">An environment variable's value.</param>
    /// <exception cref="InvalidInputException">HF_ENDPOINT is not a URL.</exception>
    public static HubSettings From(Func<string, string?> variable)
    {
        string? Value(string name) => variable(name) is { Length: > 0 } value ? value : null;
        var user = Value("HOME") ?? ".";
        var home = Value("HF_HOME") ?? Path.Combine(Value("XDG_CACHE_HOME") ?? Path.Combine(user, ".cache"), "huggingface");
        var address = Value("HF_ENDPOINT") ?? "https://huggingface.co";
        if (!Uri.TryCreate(address.TrimEnd('/') + "/", UriKind.Absolute, out var endpoint) || endpoint.Scheme is not ("https" or "http"))
            throw new InvalidInputException($"HF_ENDPOINT is '{address}', which is not a URL", "set it to https://HOST or unset it");
        var stored = Value("HF_TOKEN_PATH") ?? Path.Combine(home, "token");
        var token = Value("HF_TOKEN") ?? (File.Exists(stored) ? File.ReadAllText(stored) : null);
        return new(endpoint, Value("HF_HUB_CACHE") ?? Path.Combine(home, "hub"), token?.Trim() is { Length: > 0 } secret ? secret : null,
            Value("HF_HUB_OFFLINE")?.ToLowerInvariant() is "1" or "true" or "yes" or "on");
    }
}

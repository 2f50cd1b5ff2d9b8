namespace Qbb.Registry.Pages.Shared;

/// <summary>Where the browser found the registry, for commands that people copy.</summary>
internal static class SiteAddress
{
    private const int UsualPort = 8080;

    public static string Of(HttpContext http) => $"{http.Request.Scheme}://{http.Request.Host}";

    /// <summary>What the command needs to find the same registry; empty where it looks there anyway.</summary>
    public static string Option(HttpContext http) =>
        http.Request is { Scheme: "http", Host: { Host: "localhost" or "127.0.0.1", Port: UsualPort } } ? "" : $" --url {Of(http)}";
}

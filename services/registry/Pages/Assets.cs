using System.Security.Cryptography;

namespace Qbb.Registry.Pages;

/// <summary>Style, scripts and icon, out of the program itself. Addresses change with the content, so browsers keep them for good.</summary>
internal static class Assets
{
    private static readonly Dictionary<string, (byte[] Bytes, string Address, string Type)> s_all = new[]
    {
        ("site.css", "text/css; charset=utf-8"), ("live.js", "text/javascript; charset=utf-8"), ("copy.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    }.ToDictionary(asset => asset.Item1, asset => Read(asset.Item1, asset.Item2));

    public static string Address(string name) => s_all[name].Address;

    public static void MapAssets(this IEndpointRouteBuilder routes)
    {
        foreach (var (name, asset) in s_all)
        {
            routes.MapGet($"/assets/{name}", (HttpContext http) =>
            {
                http.Response.Headers.CacheControl = "public, max-age=31536000, immutable";
                return Results.Bytes(asset.Bytes, asset.Type);
            });
        }
    }

    private static (byte[] Bytes, string Address, string Type) Read(string name, string type)
    {
        using var stream = typeof(Assets).Assembly.GetManifestResourceStream($"Qbb.Registry.Pages.Assets.{name}")
            ?? throw new InvalidOperationException($"the asset {name} is missing from the program");
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return (bytes, $"/assets/{name}?{Convert.ToHexStringLower(SHA256.HashData(bytes))[..12]}", type);
    }
}

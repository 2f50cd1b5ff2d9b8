using System.Text.RegularExpressions;
using Scalar.AspNetCore;

namespace Qbb.Registry.Pages;

/// <summary>The registry in a browser: rendered on the server, usable without scripts, with a keyboard and with a screen reader.</summary>
internal static class Site
{
    /// <summary>Of pages that a script brings up to date: why it does, as the same event for all who look at one pipeline.</summary>
    private const string Refresh = "X-Refresh";

    public static void AddPages(this IServiceCollection services)
    {
        // Before the default writer of problems, which takes whatever comes.
        services.AddSingleton<IProblemDetailsWriter, ErrorPage>();
        // However many look at a page while something is under way, it is made once in two seconds. Whoever opens it gets it as it is.
        services.AddOutputCache(options => options.AddPolicy(Refresh, policy => policy
            .With(context => context.HttpContext.Request.Headers.ContainsKey(Refresh)).SetVaryByHeader(Refresh).Expire(TimeSpan.FromSeconds(2))));
    }

    public static void MapSite(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapPages("");
        group.MapGet("/interface", InterfacePage.Show);
        group.MapScalarApiReference("/docs", options =>
        {
            options.Title = "API · qbb";
            options.Favicon = Assets.Address("icon.svg");
            options.DynamicNonce = true;
            options.OperationTitleSource = OperationTitleSource.Path;
            (options.ShowDeveloperTools, options.HideClientButton) = (DeveloperToolsVisibility.Never, true);
            // Nothing of it comes from elsewhere or goes there.
            (options.DefaultFonts, options.Telemetry, options.Agent, options.Mcp) = (false, false, new ScalarAgentOptions { Disabled = true }, new ScalarMcpOptions { Disabled = true });
        });
        group.MapAssets();
    }

    /// <summary>
    /// A group of pages and of what their forms do: the same as the API, then the page again, so that going back or reloading sends nothing
    /// twice. No tokens against forgery are needed: requests of other sites' pages are refused before.
    /// </summary>
    public static RouteGroupBuilder MapPages(this IEndpointRouteBuilder routes, string prefix) =>
        routes.MapGroup(prefix).ExcludeFromDescription().DisableAntiforgery().CacheOutput(Refresh);
}

/// <summary>Where the browser found the registry, for commands that people copy.</summary>
internal static partial class SiteAddress
{
    private const int UsualPort = 8080;

    public static string Of(HttpContext http) => $"{http.Request.Scheme}://{http.Request.Host}";

    /// <summary>An address by which others may reach the registry. Who listens on all addresses has none that they could use: then the machine's name.</summary>
    public static string Listening(string? urls) => AnyAddress().Replace((urls ?? "").Split(';', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault() ?? $"http://localhost:{UsualPort}", $"://{Environment.MachineName}");

    [GeneratedRegex(@"://(?:0\.0\.0\.0|\[::\]|\+|\*)")]
    private static partial Regex AnyAddress();

    /// <summary>What the command needs to find the same registry; empty where it looks there anyway.</summary>
    public static string Option(HttpContext http) =>
        http.Request is { Scheme: "http", Host: { Host: "localhost" or "127.0.0.1", Port: UsualPort } } ? "" : $" --url {Of(http)}";
}

/// <summary>What a form is answered with: the address of the page that shows what became of it.</summary>
internal sealed class SeeOther(string address) : IResult
{
    public Task ExecuteAsync(HttpContext httpContext)
    {
        httpContext.Response.StatusCode = StatusCodes.Status303SeeOther;
        httpContext.Response.Headers.Location = address;
        return Task.CompletedTask;
    }
}

/// <summary>
/// What browsers are told with every answer: pages need nothing from elsewhere, run no script but the site's two, and no other page may put
/// them in a frame.
/// </summary>
internal static class SecurityHeaders
{
    private const string Policy =
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        + "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

    /// <summary>Of the API reference, whose script makes styles and pictures itself; scripts have the nonce of the answer.</summary>
    private static string PolicyOf(HttpContext http) => http.Items[ScalarOptions.NonceHttpContextItemKey] is not string nonce ? Policy : Policy
        .Replace("script-src 'self'", $"script-src 'self' 'nonce-{nonce}'", StringComparison.Ordinal)
        .Replace("style-src 'self'", "style-src 'self' 'unsafe-inline'", StringComparison.Ordinal)
        .Replace("img-src 'self'", "img-src 'self' data:", StringComparison.Ordinal);

    public static void UseSecurityHeaders(this IApplicationBuilder app) => app.Use((http, next) =>
    {
        http.Response.OnStarting(() =>
        {
            var headers = http.Response.Headers;
            headers.ContentSecurityPolicy = PolicyOf(http);
            headers.XContentTypeOptions = "nosniff";
            headers["Referrer-Policy"] = "same-origin";
            return Task.CompletedTask;
        });
        return next(http);
    });
}

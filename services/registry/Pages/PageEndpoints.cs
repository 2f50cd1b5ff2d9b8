namespace Qbb.Registry.Pages;

/// <summary>The registry in a browser: made on the server, usable without scripts, with a keyboard and with a screen reader.</summary>
internal static class PageEndpoints
{
    public static void MapPages(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("").ExcludeFromDescription();
        group.MapGet("/", ModelPages.List);
        group.MapGet("/models/{name}", ModelPages.Show);
        group.MapGet("/models/{name}/versions/{reference}", ModelPages.ShowVersion);
        group.MapGet("/pipelines", PipelinePages.List);
        group.MapGet("/pipelines/{id:guid}", PipelinePages.Show);
        group.MapPost("/pipelines/{id:guid}/cancel", PipelinePages.Cancel);
        group.MapPost("/pipelines/{id:guid}/retry", PipelinePages.Retry);
        group.MapGet("/assets/site.css", (HttpContext http) => Asset(http, "site.css", "text/css"));
        group.MapGet("/assets/live.js", (HttpContext http) => Asset(http, "live.js", "text/javascript"));
    }

    private static IResult Asset(HttpContext http, string name, string type)
    {
        http.Response.Headers.CacheControl = "public, max-age=300";
        var stream = typeof(PageEndpoints).Assembly.GetManifestResourceStream($"Qbb.Registry.Pages.Assets.{name}");
        return Results.Stream(stream ?? throw new InvalidOperationException($"the asset {name} is missing from the program"), $"{type}; charset=utf-8");
    }
}

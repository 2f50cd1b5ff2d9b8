using Qbb.Registry.Pages.Shared;

namespace Qbb.Registry.Pages;

/// <summary>The registry in a browser: made on the server, usable without scripts, with a keyboard and with a screen reader.</summary>
internal static class PageEndpoints
{
    public static void AddPages(this IServiceCollection services)
    {
        // Before the usual writer of problems, which takes whatever comes.
        services.AddSingleton<IProblemDetailsWriter, ErrorPage>();
        services.AddSingleton<VersionDocuments>();
    }

    public static void MapPages(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("").ExcludeFromDescription();
        group.MapGet("/", ModelListPage.Show);
        group.MapGet("/models/{name}", ModelPage.Show);
        group.MapGet("/models/{name}/compare", ComparePage.Show);
        group.MapGet("/models/{name}/versions/{reference}", VersionPage.Show);
        group.MapGet("/models/{name}/versions/{reference}/view/{**file}", FilePage.Show);
        group.MapGet("/pipelines", PipelineListPage.Show);
        group.MapGet("/pipelines/{id:guid}", PipelinePage.Show);
        group.MapGet("/policies", PoliciesPage.Show);
        group.MapGet("/search", SearchPage.Show);
        group.MapGet("/interface", InterfacePage.Show);
        group.MapAssets();
        routes.MapForms();
    }
}

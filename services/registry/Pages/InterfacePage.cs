using Microsoft.AspNetCore.Http.Metadata;
using Qbb.Registry.Http;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Pages;

/// <summary>What programs can ask for, out of the endpoints themselves.</summary>
internal static class InterfacePage
{
    public static IResult Show(HttpContext http, EndpointDataSource endpoints)
    {
        var sections = endpoints.Endpoints.OfType<RouteEndpoint>()
            .Where(endpoint => endpoint.RoutePattern.RawText?.StartsWith("/api/", StringComparison.Ordinal) == true)
            .GroupBy(endpoint => endpoint.Metadata.GetMetadata<ITagsMetadata>()?.Tags.FirstOrDefault() ?? "other")
            .OrderBy(group => ApiDocument.PlaceOf(group.Key))
            .Select(group => Section(
                group.Key, DataTable.Of($"API of {group.Key}", [new("Request"), new("What it does")], group.Select(Row)), $"api-{group.Key}"));
        return PageLayout.Page(http, new PageParts("API", Markup.Of($"""
            <p class="lead">JSON over HTTP, described in full by the <a href="/docs">reference</a> and <a href="/openapi/v1.json">/openapi/v1.json</a>. Errors are
            ProblemDetails: <code>detail</code> is for people, <code>errors</code> lists the single problems.
            <a href="/webhooks">Webhooks</a> post signed events to other systems.</p>
            <div class="interface">{sections}</div>
            """))
        {
            Area = Area.Interface,
        });
    }

    private static Markup[] Row(RouteEndpoint endpoint)
    {
        var methods = endpoint.Metadata.GetMetadata<HttpMethodMetadata>()?.HttpMethods ?? [];
        var path = endpoint.RoutePattern.RawText!.Replace(":guid", "", StringComparison.Ordinal).TrimEnd('/');
        var more = endpoint.Metadata.GetMetadata<IEndpointDescriptionMetadata>()?.Description;
        return
        [
            Markup.Of($"""<span class="method">{string.Join(", ", methods)}</span> <code>{path}</code>"""),
            Markup.Of($"{endpoint.Metadata.GetMetadata<IEndpointSummaryMetadata>()?.Summary}{Note(more)}"),
        ];
    }
}

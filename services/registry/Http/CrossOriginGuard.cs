using System.Net.Mime;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.WebUtilities;

namespace Qbb.Registry.Http;

/// <summary>
/// Refuses changes that a page of another site asks a browser for: browsers say where a request comes from, and programs that are none say
/// nothing.
/// </summary>
internal sealed class CrossOriginGuard(RequestDelegate next)
{
    public Task InvokeAsync(HttpContext http)
    {
        var request = http.Request;
        if (HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method) || HttpMethods.IsOptions(request.Method))
            return next(http);
        var site = request.Headers["Sec-Fetch-Site"].ToString();
        var origin = request.Headers.Origin.ToString();
        var isForeign = site.Length > 0
            ? site is not ("same-origin" or "none")
            : origin.Length > 0 && !(Uri.TryCreate(origin, UriKind.Absolute, out var from) && from.Authority == request.Host.Value);
        return isForeign
            ? throw new RefusedException(StatusCodes.Status403Forbidden, "the request comes from a page of another site")
            : next(http);
    }
}

/// <summary>Says why a request to another host name is refused: the framework's own check comes before everything else, and gives no reason that helps.</summary>
internal sealed class HostRefusals : IStartupFilter
{
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
    {
        app.Use(async (http, inner) =>
        {
            await inner(http);
            if (http.Response is { HasStarted: false, StatusCode: StatusCodes.Status400BadRequest, ContentType: null, ContentLength: null })
            {
                await http.Response.WriteAsJsonAsync(new ProblemDetails
                {
                    Title = ReasonPhrases.GetReasonPhrase(StatusCodes.Status400BadRequest),
                    Status = StatusCodes.Status400BadRequest,
                    Detail = $"the host name {http.Request.Host} is not accepted: allow it with the setting AllowedHosts",
                }, options: null, MediaTypeNames.Application.ProblemJson);
            }
        });
        next(app);
    };
}

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

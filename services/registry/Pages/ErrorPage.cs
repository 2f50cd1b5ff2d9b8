using System.Net.Mime;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Pages;

/// <summary>Errors as pages for who requested one; programs get ProblemDetails.</summary>
internal sealed class ErrorPage : IProblemDetailsWriter
{
    private static readonly MediaTypeHeaderValue s_html = new(MediaTypeNames.Text.Html);

    public bool CanWrite(ProblemDetailsContext context)
    {
        var request = context.HttpContext.Request;
        return !request.Path.StartsWithSegments("/api")
            && request.GetTypedHeaders().Accept.Any(accepted => accepted.MediaType == s_html.MediaType);
    }

    public async ValueTask WriteAsync(ProblemDetailsContext context)
    {
        var (response, problem) = (context.HttpContext.Response, context.ProblemDetails);
        var status = problem.Status ?? response.StatusCode;
        var title = status == StatusCodes.Status404NotFound ? "Not found" : ReasonPhrases.GetReasonPhrase(status) is { Length: > 0 } reason ? reason : "Error";
        var errors = problem.Extensions.TryGetValue("errors", out var several) && several is IEnumerable<string> all
            ? Markup.Of($"<ul>{all.Select(error => Markup.Of($"<li>{error}</li>"))}</ul>") : Markup.Empty;
        response.Headers.CacheControl = "no-store";
        response.ContentType = $"{MediaTypeNames.Text.Html}; charset=utf-8";
        await response.WriteAsync(PageLayout.Write(new PageParts(title, Markup.Of($"""
            <p class="error" role="alert">{problem.Detail ?? Usual(status)}</p>
            {errors}
            <p><a href="/">All models</a> · <a href="/pipelines">all pipelines</a> · <a href="/search">search</a></p>
            <p class="quiet">Status {status}</p>
            """))).Text, context.HttpContext.RequestAborted);
    }

    private static string Usual(int status) => status switch
    {
        StatusCodes.Status404NotFound => "there is nothing at this address",
        StatusCodes.Status405MethodNotAllowed => "this address is for forms and programs: go back and try again from a page",
        _ => "the request could not be done",
    };
}

using System.Data.Common;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;

namespace Qbb.Registry.Http;

/// <summary>Errors as ProblemDetails.</summary>
internal sealed class Problems(IProblemDetailsService problems, ILogger<Problems> log) : IExceptionHandler
{
    public async ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception, CancellationToken cancellationToken)
    {
        if (exception is OperationCanceledException && httpContext.RequestAborted.IsCancellationRequested)
            return true;
        var details = Describe(exception);
        if (details.Status >= StatusCodes.Status500InternalServerError)
            log.LogError(exception, "{Method} {Path} failed", httpContext.Request.Method, httpContext.Request.Path);
        httpContext.Response.StatusCode = details.Status!.Value;
        return await problems.TryWriteAsync(new ProblemDetailsContext { HttpContext = httpContext, ProblemDetails = details, Exception = exception });
    }

    private static ProblemDetails Describe(Exception exception) => exception switch
    {
        RefusedException refused => With(refused.Status, refused.Message, refused.Errors),
        DigestMismatchException => With(StatusCodes.Status400BadRequest, exception.Message),
        BlobNotFoundException => With(StatusCodes.Status404NotFound, exception.Message),
        StoreFullException => With(StatusCodes.Status507InsufficientStorage, exception.Message),
        ArtifactStoreException => With(StatusCodes.Status503ServiceUnavailable, exception.Message),
        BadHttpRequestException bad => With(bad.StatusCode, bad.InnerException is { } inner ? $"{bad.Message} {inner.Message}" : bad.Message),
        DbUpdateConcurrencyException => With(StatusCodes.Status409Conflict, "somebody else changed it at the same time: try again"),
        DbException { IsTransient: true } or DbUpdateException { InnerException: DbException { IsTransient: true } } =>
            With(StatusCodes.Status503ServiceUnavailable, "the database is away: try again in a moment"),
        _ => With(StatusCodes.Status500InternalServerError, "something went wrong here; the service's log says what"),
    };

    private static ProblemDetails With(int status, string detail, IReadOnlyList<string>? errors = null)
    {
        var details = new ProblemDetails { Status = status, Detail = detail };
        if (errors is { Count: > 0 })
            details.Extensions["errors"] = errors;
        return details;
    }
}

using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Http;

/// <summary>Errors as ProblemDetails.</summary>
internal sealed partial class Problems(IProblemDetailsService problems, ILogger<Problems> log) : IExceptionHandler
{
    private const string RetrySeconds = "5";

    public async ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception, CancellationToken cancellationToken)
    {
        if (exception is OperationCanceledException && httpContext.RequestAborted.IsCancellationRequested)
            return true;
        var details = Describe(exception);
        if (details.Status >= StatusCodes.Status500InternalServerError)
            log.LogError(exception, "{Method} {Path} failed", httpContext.Request.Method, httpContext.Request.Path);
        httpContext.Response.StatusCode = details.Status!.Value;
        if (details.Status == StatusCodes.Status503ServiceUnavailable)
            httpContext.Response.Headers.RetryAfter = RetrySeconds;
        if (details.Status == StatusCodes.Status401Unauthorized)
            httpContext.Response.Headers.WWWAuthenticate = "Bearer";
        return await problems.TryWriteAsync(new ProblemDetailsContext { HttpContext = httpContext, ProblemDetails = details, Exception = exception });
    }

    private static ProblemDetails Describe(Exception exception) => exception switch
    {
        RefusedException refused => With(refused.Status, refused.Message, refused.Errors),
        DigestMismatchException => With(StatusCodes.Status400BadRequest, exception.Message),
        BlobNotFoundException => With(StatusCodes.Status404NotFound, exception.Message),
        StoreFullException => With(StatusCodes.Status507InsufficientStorage, ServerPaths.Hide(exception.Message)),
        ArtifactStoreException => With(StatusCodes.Status503ServiceUnavailable, ServerPaths.Hide(exception.Message)),
        BadHttpRequestException bad => With(bad.StatusCode, Said(bad)),
        DbUpdateException update when RegistryContext.IsConflict(update, []) || Transience.IsDuplicate(update) =>
            With(StatusCodes.Status409Conflict, "concurrent update, retry"),
        _ when Transience.IsTransient(exception) => With(StatusCodes.Status503ServiceUnavailable, "the database is away or busy: try again in a moment"),
        _ => With(StatusCodes.Status500InternalServerError, "internal error; see the service's log"),
    };

    // The framework's own messages name types of this program where they should name what was sent.
    private static string Said(BadHttpRequestException error)
    {
        if (error.StatusCode == StatusCodes.Status413PayloadTooLarge)
            return "the body is too large";
        if (error.InnerException is JsonException json)
            return Said(json);
        if (error.Message.Contains("no body was provided", StringComparison.Ordinal))
            return "the body is missing";
        if (InvalidValue().Match(error.Message) is { Success: true } invalid)
            return $"invalid value '{invalid.Groups[2].Value}' of {invalid.Groups[1].Value}";
        return MissingValue().Match(error.Message) is { Success: true } missing
            ? $"{missing.Groups[1].Value} is missing"
            : error.Message;
    }

    private static string Said(JsonException error) =>
        UnknownMember().Match(error.Message) is { Success: true } unknown ? $"unknown member {unknown.Groups[1].Value}"
        : MissingMembers().Match(error.Message) is { Success: true } missing ? $"missing members: {missing.Groups[1].Value}"
        : error.Message.StartsWith("The JSON value could not be converted", StringComparison.Ordinal) ? $"the value of {error.Path?.TrimStart('$', '.')} is of the wrong type"
        : $"invalid JSON: {error.Message}";

    [GeneratedRegex("was missing required properties including: (.*)\\.$")]
    private static partial Regex MissingMembers();

    [GeneratedRegex("^The JSON property '([^']*)' could not be mapped")]
    private static partial Regex UnknownMember();

    [GeneratedRegex("""^Failed to bind parameter ".* (\w+)" from "(.*)"\.$""")]
    private static partial Regex InvalidValue();

    [GeneratedRegex("""^Required parameter ".* (\w+)" was not provided""")]
    private static partial Regex MissingValue();

    private static ProblemDetails With(int status, string detail, IReadOnlyList<string>? errors = null)
    {
        var details = new ProblemDetails { Status = status, Detail = detail };
        if (errors is { Count: > 0 })
            details.Extensions["errors"] = errors;
        return details;
    }
}

/// <summary>Messages of stores and workers without the folders of their machine, which are nobody else's business; the logs have them in full.</summary>
internal static partial class ServerPaths
{
    public static string Hide(string message) => Path().Replace(message, "…/$1");

    [GeneratedRegex(@"(?<![\w:/.…])/(?:[^\s/:;,'""()]+/)+([^\s/:;,'""()]*)")]
    private static partial Regex Path();
}

/// <summary>Writes problems as JSON whatever the sender accepts: an error in another format than requested beats none.</summary>
internal sealed class ProblemsForAll : IProblemDetailsWriter
{
    public bool CanWrite(ProblemDetailsContext context) => true;

    public ValueTask WriteAsync(ProblemDetailsContext context) => new(context.HttpContext.Response.WriteAsJsonAsync(
        context.ProblemDetails, options: null, "application/problem+json", context.HttpContext.RequestAborted));
}

/// <summary>A request cannot be done; the message is for people.</summary>
/// <param name="status">The HTTP status that says so.</param>
/// <param name="message">What is wrong and what helps.</param>
/// <param name="errors">The single problems, where there are several.</param>
internal sealed class RefusedException(int status, string message, IReadOnlyList<string>? errors = null) : Exception(message)
{
    public int Status => status;

    public IReadOnlyList<string> Errors => errors ?? [];

    /// <summary>A value of a query by its name.</summary>
    /// <exception cref="RefusedException">There is no such value; the message lists them.</exception>
    public static T Parse<T>(string parameter, string value)
        where T : struct, Enum => Wire.Find<T>(value) ?? throw Invalid($"{parameter} is one of {string.Join(", ", Wire.NamesOf<T>())}");

    public static RefusedException Invalid(string message, IReadOnlyList<string>? errors = null) => new(StatusCodes.Status400BadRequest, message, errors);

    /// <summary>What was sent can be read, but what it says cannot be done.</summary>
    public static RefusedException Unusable(string message, IReadOnlyList<string> errors) => new(StatusCodes.Status422UnprocessableEntity, message, errors);

    public static RefusedException NotFound(string message) => new(StatusCodes.Status404NotFound, message);

    public static RefusedException Conflict(string message, IReadOnlyList<string>? errors = null) => new(StatusCodes.Status409Conflict, message, errors);
}

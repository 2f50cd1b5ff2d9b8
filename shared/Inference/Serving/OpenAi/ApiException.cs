using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Qbb.Inference.Serving.OpenAi;

/// <summary>A request that is answered with an error, in the shape that OpenAI's clients read.</summary>
/// <param name="status">Of HTTP.</param>
/// <param name="message">For people.</param>
/// <param name="parameter">What of the request it is about.</param>
/// <param name="code">For programs.</param>
internal sealed class ApiException(int status, string message, string? parameter = null, string? code = null) : Exception(message)
{
    public int Status => status;

    public string? Parameter => parameter;

    public string? Code => code;

    public static ApiException Invalid(string parameter, string message, string? code = null) => new(StatusCodes.Status400BadRequest, message, parameter, code);

    /// <summary>An error as the API tells it; null for one that is not the request's.</summary>
    public static ApiException? Of(Exception error) => error switch
    {
        ApiException known => known,
        QueueFullException => new(StatusCodes.Status429TooManyRequests, "The server has too many requests; try again later.", code: "rate_limit_exceeded"),
        ServerStoppingException => new(StatusCodes.Status503ServiceUnavailable, "The server is stopping.", code: "server_stopping"),
        InvalidInputException => new(StatusCodes.Status500InternalServerError, Sentence(error.Message), code: "model_failed"),
        BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge } => new(StatusCodes.Status413PayloadTooLarge, "The request is too large.", code: "request_too_large"),
        BadHttpRequestException bad => new(bad.StatusCode, bad.Message),
        _ => null,
    };

    public static JsonObject Body(int status, string message, string? parameter = null, string? code = null) => new()
    {
        ["error"] = new JsonObject
        {
            ["message"] = message,
            ["type"] = status switch { StatusCodes.Status429TooManyRequests => "rate_limit_error", >= 500 => "server_error", _ => "invalid_request_error" },
            ["param"] = parameter,
            ["code"] = code,
        },
    };

    public JsonObject ToJson() => Body(status, Message, parameter, code);

    private static string Sentence(string text) => $"{char.ToUpperInvariant(text[0])}{text[1..].TrimEnd('.')}.";
}

namespace Qbb.Registry.Http;

/// <summary>A request cannot be done; the message is for people.</summary>
/// <param name="status">The HTTP status that says so.</param>
/// <param name="message">What is wrong and what helps.</param>
/// <param name="errors">The single problems, where there are several.</param>
internal sealed class RefusedException(int status, string message, IReadOnlyList<string>? errors = null) : Exception(message)
{
    public int Status => status;

    public IReadOnlyList<string> Errors => errors ?? [];

    public static RefusedException Invalid(string message, IReadOnlyList<string>? errors = null) => new(StatusCodes.Status400BadRequest, message, errors);

    /// <summary>What was sent can be read, but what it says cannot be done.</summary>
    public static RefusedException Unusable(string message, IReadOnlyList<string> errors) => new(StatusCodes.Status422UnprocessableEntity, message, errors);

    public static RefusedException NotFound(string message) => new(StatusCodes.Status404NotFound, message);

    public static RefusedException Conflict(string message, IReadOnlyList<string>? errors = null) => new(StatusCodes.Status409Conflict, message, errors);
}

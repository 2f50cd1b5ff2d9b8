namespace Qbb.Registry.Http;

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

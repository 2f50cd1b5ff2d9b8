namespace Qbb.Contracts;

/// <summary>
/// What the user gave (a file, a folder, an option) cannot be used. The message names the thing and the remedy;
/// the command line prints it without a stack trace and exits with code 2.
/// </summary>
public class InvalidInputException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <param name="problem">What is wrong.</param>
    /// <param name="remedy">What to do about it; the message ends with it.</param>
    /// <param name="inner">The cause.</param>
    public InvalidInputException(string problem, string remedy, Exception? inner = null) : this($"{problem}: {remedy}", inner) => Remedy = remedy;

    /// <summary>What to do about it, for programs; null where the message alone tells.</summary>
    public string? Remedy { get; }
}

namespace Qbb.Contracts;

/// <summary>
/// What the user gave (a file, a folder, an option) cannot be used. The message names the thing and the remedy;
/// the command line prints it without a stack trace and exits with code 2.
/// </summary>
public class InvalidInputException(string message, Exception? inner = null) : Exception(message, inner);

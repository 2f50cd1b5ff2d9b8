namespace Qbb.Hosting.Startup;

/// <summary>A service cannot start; the message is for people.</summary>
public sealed class StartupException(string message, Exception? inner = null) : Exception(message, inner);

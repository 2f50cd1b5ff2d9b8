using Qbb.Models;

namespace Qbb.Cli.Registry;

/// <summary>Nobody answers at the registry's address, or somebody who is none.</summary>
internal sealed class RegistryAwayException(string message, Exception? inner = null) : InvalidInputException(message, inner);

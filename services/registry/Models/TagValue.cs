namespace Qbb.Registry.Models;

public sealed record TagValue(string Value);

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>When a unit began and ended.</summary>
internal readonly record struct UnitSpan(DateTime Start, DateTime End);

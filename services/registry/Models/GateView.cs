namespace Qbb.Registry.Models;

/// <summary>A gate and what comes of it.</summary>
/// <param name="Gate">The limits.</param>
/// <param name="Own">The model has its own; else they are its policy's or the registry's.</param>
/// <param name="Champion">The version that passes best; null if none does.</param>
/// <param name="Refused">Why the others do not pass, by number.</param>
public sealed record GateView(Gate Gate, bool Own, int? Champion, IReadOnlyDictionary<int, string> Refused);

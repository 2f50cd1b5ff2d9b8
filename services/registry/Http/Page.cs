namespace Qbb.Registry.Http;

/// <summary>Some of many.</summary>
/// <param name="Items">These.</param>
/// <param name="Next">What to give as "after" for those that follow; null where there are no more.</param>
public sealed record Page<T>(IReadOnlyList<T> Items, string? Next);

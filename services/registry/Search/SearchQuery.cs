namespace Qbb.Registry.Search;

/// <summary>What is looked for.</summary>
/// <param name="Q">In the model's name or description.</param>
/// <param name="Kind">upload or quantized.</param>
/// <param name="Recipe">Digest or name of the recipe that it was made by.</param>
/// <param name="Alias">An alias that points to it.</param>
/// <param name="Tag">key, or key:value.</param>
/// <param name="Metric">A condition such as kl&lt;=0.1.</param>
/// <param name="Sort">The order.</param>
/// <param name="After">Of the page before.</param>
/// <param name="Limit">Most of a page.</param>
public sealed record SearchQuery(
    string? Q, string? Kind, string? Recipe, string? Alias, string[]? Tag, string[]? Metric, string? Sort, string? After, int? Limit);

namespace Qbb.Registry.Models;

/// <summary>A model.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Description">What people wrote about it.</param>
/// <param name="Versions">How many there are.</param>
/// <param name="Latest">The number of the newest; null if all were deleted.</param>
/// <param name="Aliases">Numbers of versions by alias.</param>
/// <param name="CreatedAt">When it was made.</param>
public sealed record ModelView(
    string Name, string Description, int Versions, int? Latest, IReadOnlyDictionary<string, int> Aliases, DateTimeOffset CreatedAt);

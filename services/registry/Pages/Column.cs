namespace Qbb.Registry.Pages.Shared;

/// <summary>A column of a table.</summary>
/// <param name="Title">Its head; also before each value where the screen is too narrow for columns.</param>
/// <param name="IsNumber">Values stand at the right.</param>
/// <param name="Key">What the page is sorted by on a click; null where it is not.</param>
internal sealed record Column(string Title, bool IsNumber = false, string? Key = null);

namespace Qbb.Registry.Pages.Shared;

/// <summary>What a page has of its own.</summary>
/// <param name="Title">For the window, and the heading where there is no other.</param>
/// <param name="Body">What follows the heading.</param>
internal sealed record PageParts(string Title, Markup Body)
{
    /// <summary>The area of the site that is marked as the current one.</summary>
    public Area Area { get; init; }

    /// <summary>What stands in the heading instead of the title.</summary>
    public Markup? Heading { get; init; }

    /// <summary>The pages above this one, by address and name.</summary>
    public IReadOnlyList<(string Address, string Name)> Above { get; init; } = [];

    /// <summary>The stream of events that says when the page is to be read again; null for none.</summary>
    public string? Events { get; init; }

    /// <summary>Something is under way: the page is read again every few seconds.</summary>
    public bool IsLive { get; init; }

    public int Status { get; init; } = StatusCodes.Status200OK;
}

namespace Qbb.Registry.Pages.Shared;

/// <summary>What a table is sorted by.</summary>
/// <param name="Key">The column's.</param>
/// <param name="IsFalling">The largest first.</param>
/// <param name="Address">The address of the page for an order, such as -kl.</param>
internal sealed record SortOrder(string Key, bool IsFalling, Func<string, string> Address)
{
    /// <param name="text">kl, or -kl for the largest first; null for the usual.</param>
    /// <param name="usual">The order where none is asked for.</param>
    /// <param name="address">As above.</param>
    public static SortOrder Parse(string? text, string usual, Func<string, string> address)
    {
        var asked = string.IsNullOrEmpty(text) ? usual : text;
        return new(asked.TrimStart('-'), asked.StartsWith('-'), address);
    }

    /// <summary>The link of a head: the other way round where the table is sorted by it.</summary>
    public string AddressOf(string key) => Address(key == Key && !IsFalling ? "-" + key : key);

    public string? AriaOf(string key) => key != Key ? null : IsFalling ? "descending" : "ascending";
}

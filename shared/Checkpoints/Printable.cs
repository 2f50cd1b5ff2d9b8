using System.Text;

namespace Qbb.Checkpoints;

/// <summary>Names out of damaged files, made fit for a message.</summary>
internal static class Printable
{
    private const int Longest = 120;

    /// <summary>The name with control characters escaped and its end cut where it is too long to show.</summary>
    public static string Name(string name)
    {
        var text = new StringBuilder();
        foreach (var rune in name.EnumerateRunes())
        {
            if (text.Length >= Longest)
                return text.Append('…').ToString();
            if (Rune.IsControl(rune))
                text.Append($"\\u{rune.Value:x4}");
            else
                text.Append(rune.ToString());
        }
        return text.ToString();
    }
}

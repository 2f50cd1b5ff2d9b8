using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>Unicode's normalization forms.</summary>
internal enum UnicodeForm
{
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}

/// <summary>NFC, NFD, NFKC and NFKD after Unicode Standard Annex 15.</summary>
internal sealed class UnicodeNormalizer(UnicodeForm form) : INormalizer
{
    private const int FirstSyllable = 0xAC00, FirstLead = 0x1100, FirstVowel = 0x1161, BeforeTrail = 0x11A7;
    private const int Leads = 19, Vowels = 21, Trails = 28;

    private readonly bool compatibility = form is UnicodeForm.Nfkc or UnicodeForm.Nfkd;
    private readonly bool composes = form is UnicodeForm.Nfc or UnicodeForm.Nfkc;

    /// <summary>Text below this is the same in the form: combining marks start at U+0300, compatibility characters at U+00A0.</summary>
    private readonly char firstAffected = form switch { UnicodeForm.Nfc => '\u0300', UnicodeForm.Nfd => '\u00C0', _ => '\u00A0' };

    public string Normalize(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange(firstAffected, '\uFFFF'))
            return text;
        var table = DecompositionTable.Instance.Value;
        var codePoints = new List<int>(text.Length);
        foreach (var rune in text.EnumerateRunes())
            Decompose(table, rune.Value, codePoints);
        Reorder(table, codePoints);
        if (composes)
            Compose(table, codePoints);
        var result = new StringBuilder(text.Length);
        foreach (var codePoint in codePoints)
            result.Append(new Rune(codePoint).ToString());
        return result.ToString();
    }

    public string Normalize(string text, ref int first)
    {
        var result = Normalize(text);
        if (first == 0)
            return result;
        // A mark of a later character may be sorted before one of the first.
        var alone = Normalize(text[..first]);
        first = composes ? Math.Min(alone.Length, result.Length) : alone.AsSpan().CommonPrefixLength(result);
        return result;
    }

    private void Decompose(DecompositionTable table, int codePoint, List<int> output)
    {
        var syllable = codePoint - FirstSyllable;
        if (syllable is >= 0 and < Leads * Vowels * Trails)
        {
            output.Add(FirstLead + syllable / (Vowels * Trails));
            output.Add(FirstVowel + syllable / Trails % Vowels);
            if (syllable % Trails > 0)
                output.Add(BeforeTrail + syllable % Trails);
        }
        else if (table.TryDecompose(codePoint, compatibility, out var parts))
        {
            foreach (var part in parts)
                Decompose(table, part, output);
        }
        else
        {
            output.Add(codePoint);
        }
    }

    /// <summary>Sorts every run of combining marks by class, equals in their order.</summary>
    private static void Reorder(DecompositionTable table, List<int> codePoints)
    {
        for (var start = 0; start < codePoints.Count; start++)
        {
            if (table.ClassOf(codePoints[start]) == 0)
                continue;
            var end = start + 1;
            while (end < codePoints.Count && table.ClassOf(codePoints[end]) != 0)
                end++;
            var sorted = codePoints.GetRange(start, end - start).OrderBy(table.ClassOf).ToList();
            for (var i = 0; i < sorted.Count; i++)
                codePoints[start + i] = sorted[i];
            start = end;
        }
    }

    private static void Compose(DecompositionTable table, List<int> codePoints)
    {
        var (count, starter, lastClass) = (0, -1, 0);
        for (var i = 0; i < codePoints.Count; i++)
        {
            var codePoint = codePoints[i];
            var combiningClass = table.ClassOf(codePoint);
            var blocked = count - 1 > starter && (lastClass == 0 || lastClass >= combiningClass);
            if (starter >= 0 && !blocked && TryCompose(table, codePoints[starter], codePoint, out var composed))
            {
                codePoints[starter] = composed;
                continue;
            }
            if (combiningClass == 0)
                starter = count;
            lastClass = combiningClass;
            codePoints[count++] = codePoint;
        }
        codePoints.RemoveRange(count, codePoints.Count - count);
    }

    private static bool TryCompose(DecompositionTable table, int first, int second, out int composed)
    {
        if (first - FirstLead is >= 0 and < Leads && second - FirstVowel is >= 0 and < Vowels)
        {
            composed = FirstSyllable + ((first - FirstLead) * Vowels + second - FirstVowel) * Trails;
            return true;
        }
        var syllable = first - FirstSyllable;
        if (syllable is >= 0 and < Leads * Vowels * Trails && syllable % Trails == 0 && second - BeforeTrail is > 0 and < Trails)
        {
            composed = first + second - BeforeTrail;
            return true;
        }
        return table.TryCompose(first, second, out composed);
    }
}

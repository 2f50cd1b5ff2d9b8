using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>
/// SentencePiece's normalizer: a double-array trie from UTF-8 sequences to offsets into a table of replacements, each ended by a zero. Like the
/// library, it replaces a grapheme of fewer than six bytes as a whole by what its shortest known prefix stands for, else character by character.
/// </summary>
internal sealed class PrecompiledNormalizer : INormalizer
{
    private const int LongestGrapheme = 5;

    private readonly uint[] units;
    private readonly byte[] replacements;

    private PrecompiledNormalizer(uint[] units, byte[] replacements) => (this.units, this.replacements) = (units, replacements);

    /// <exception cref="InvalidInputException">The table is not Base64, is cut off, or holds text that is not UTF-8.</exception>
    public static PrecompiledNormalizer Load(JsonField field)
    {
        byte[] bytes;
        try
        {
            bytes = Convert.FromBase64String(field.String());
        }
        catch (FormatException error)
        {
            throw field.Error($"is not Base64: {error.Message}");
        }
        var size = bytes.Length < 4 ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        if (size < 4 || size > bytes.Length - 4 || size % 4 != 0)
            throw field.Error("is not a table of SentencePiece: the length of its trie is wrong");
        var units = new uint[size / 4];
        for (var i = 0; i < units.Length; i++)
            units[i] = BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(4 + 4 * i));
        var replacements = bytes[(4 + (int)size)..];
        if (!System.Text.Unicode.Utf8.IsValid(replacements))
            throw field.Error("is not a table of SentencePiece: its replacements are not UTF-8");
        for (int start = 0, length; start < replacements.Length; start += length + 1)
        {
            length = replacements.AsSpan(start).IndexOf((byte)0);
            if (length < 0)
                length = replacements.Length - start;
            if (length > PatternLoader.MaximumContent)
                throw field.Error($"has a replacement of {length} bytes, more than {PatternLoader.MaximumContent}");
        }
        return new PrecompiledNormalizer(units, replacements);
    }

    public string Normalize(string text)
    {
        var first = 0;
        return Normalize(text, ref first);
    }

    public string Normalize(string text, ref int first)
    {
        var output = new Output(CodePoints(text.AsSpan(0, first)), text.Length);
        for (int start = 0, length; start < text.Length; start += length)
        {
            length = StringInfo.GetNextTextElementLength(text, start);
            var grapheme = text.AsSpan(start, length);
            if (Encoding.UTF8.GetByteCount(grapheme) <= LongestGrapheme && Find(grapheme) is { } whole)
                output.Add(whole, CodePoints(grapheme));
            else
                AddCharacters(grapheme, output);
        }
        first = output.First;
        return output.Text.ToString();
    }

    private void AddCharacters(ReadOnlySpan<char> text, Output output)
    {
        for (int start = 0, length; start < text.Length; start += length)
        {
            length = start + 1 < text.Length && char.IsSurrogatePair(text[start], text[start + 1]) ? 2 : 1;
            var character = text.Slice(start, length);
            output.Add(Find(character) ?? character.ToString(), 1);
        }
    }

    private static int CodePoints(ReadOnlySpan<char> text)
    {
        var count = 0;
        foreach (var _ in text.EnumerateRunes())
            count++;
        return count;
    }

    /// <summary>
    /// The text so far, and how much of it stems from the first characters of the input. The library forgets what is removed before any
    /// other character, so what follows it takes its place.
    /// </summary>
    private sealed class Output(int firstCodePoints, int capacity)
    {
        private int taken;

        public StringBuilder Text { get; } = new(capacity);

        public int First { get; private set; }

        public void Add(string replacement, int replaced)
        {
            foreach (var rune in replacement.EnumerateRunes())
            {
                // Each stands for one of the replaced while there are any; the rest belong to the last.
                if (replaced-- > 0)
                    taken++;
                Text.Append(rune);
                if (taken <= firstCodePoints && firstCodePoints > 0)
                    First = Text.Length;
            }
            if (replaced > 0 && Text.Length > 0)
                taken += replaced;
        }
    }

    /// <summary>The replacement of the shortest prefix that has one; null where none has, or where the table leads out of itself.</summary>
    private string? Find(ReadOnlySpan<char> text)
    {
        Span<byte> bytes = stackalloc byte[LongestGrapheme];
        var count = Encoding.UTF8.GetBytes(text, bytes);
        var node = Offset(units[0]);
        foreach (var value in bytes[..count])
        {
            node ^= value;
            if (value == 0 || node >= units.Length || (units[node] & 0x8000_00FF) != value)
                return null;
            var unit = units[node];
            node ^= Offset(unit);
            if ((unit >> 8 & 1) != 0)
                return node < units.Length ? ReplacementAt(units[node] & 0x7FFF_FFFF) : null;
        }
        return null;
    }

    private string? ReplacementAt(uint start)
    {
        if (start >= replacements.Length)
            return null;
        var rest = replacements.AsSpan((int)start);
        var end = rest.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? rest : rest[..end]);
    }

    private static uint Offset(uint unit) => unit >> 10 << (int)((unit & 1 << 9) >> 6);
}

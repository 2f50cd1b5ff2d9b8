using System.Buffers;
using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>Byte-pair encoding: the characters of a word, merged pair by pair.</summary>
internal sealed class BpeModel : WordModel
{
    private readonly BpeOptions options;
    private readonly Dictionary<string, int> vocabulary;
    private readonly MergeTable merges;
    private readonly int[] idOfCharacter;
    private readonly int[] idOfByte = new int[256];
    private readonly int unknownId;

    /// <param name="options">The flags of the model.</param>
    /// <param name="vocabulary">Ids by token.</param>
    /// <param name="merges">In order of rank.</param>
    /// <param name="mapBytes">True where words come as text and are to be seen as bytes in GPT-2's alphabet.</param>
    public BpeModel(BpeOptions options, Dictionary<string, int> vocabulary, MergeTable merges, bool mapBytes)
        : base(mapBytes)
    {
        this.options = options;
        this.vocabulary = vocabulary;
        this.merges = merges;
        idOfCharacter = new int[vocabulary.Keys.Where(token => token.Length == 1).Select(token => token[0] + 1).DefaultIfEmpty(0).Max()];
        Array.Fill(idOfCharacter, -1);
        foreach (var (token, id) in vocabulary)
            if (token.Length == 1)
                idOfCharacter[token[0]] = id;
        for (var value = 0; value < 256; value++)
            idOfByte[value] = vocabulary.GetValueOrDefault($"<0x{value:X2}>", -1);
        unknownId = options.UnknownToken == null ? -1 : vocabulary.GetValueOrDefault(options.UnknownToken, -1);
    }

    protected override int[] Encode(string word)
    {
        if (options.IgnoreMerges && vocabulary.TryGetValue(word, out var whole))
            return [whole];
        var symbols = new SymbolList(word.Length);
        AddSymbols(word, ref symbols);
        var count = SymbolMerger.Merge(merges, symbols.Span);
        var ids = symbols.Span[..count].ToArray();
        symbols.Free();
        return ids;
    }

    private void AddSymbols(string word, ref SymbolList symbols)
    {
        var pendingUnknown = false;
        for (int start = 0, length; start < word.Length; start += length)
        {
            length = char.IsSurrogatePair(word, start) ? 2 : 1;
            var id = IdOf(word, start, length);
            if (id < 0 && TryAddBytes(word, start, length, ref symbols))
                continue;
            if (id < 0 && options.UnknownToken == null)
                continue;
            if (id < 0 && unknownId < 0)
                throw new InvalidInputException(
                    $"the tokenizer's unk_token \"{options.UnknownToken}\" is not in its vocabulary, and the text needs it");
            // Unknown characters wait, to be fused with the next ones where the model asks for it.
            if (pendingUnknown && (id >= 0 || !options.FuseUnknown))
                symbols.Add(unknownId);
            pendingUnknown = id < 0;
            if (id >= 0)
                symbols.Add(id);
        }
        if (pendingUnknown)
            symbols.Add(unknownId);
    }

    private int IdOf(string word, int start, int length)
    {
        var prefix = start > 0 ? options.SubwordPrefix : "";
        var suffix = start + length == word.Length ? options.WordSuffix : "";
        if (prefix.Length + suffix.Length > 0)
            return vocabulary.GetValueOrDefault($"{prefix}{word.AsSpan(start, length)}{suffix}", -1);
        if (length == 1)
            return word[start] < idOfCharacter.Length ? idOfCharacter[word[start]] : -1;
        return vocabulary.GetValueOrDefault(word.Substring(start, length), -1);
    }

    /// <summary>Adds the byte tokens of a character that has no token, if all of them are there.</summary>
    private bool TryAddBytes(string word, int start, int length, ref SymbolList symbols)
    {
        if (!options.ByteFallback)
            return false;
        var text = word[start..(start + length)];
        if (start > 0)
            text = options.SubwordPrefix + text;
        if (start + length == word.Length)
            text += options.WordSuffix;
        var bytes = Encoding.UTF8.GetBytes(text);
        if (bytes.Any(value => idOfByte[value] < 0))
            return false;
        foreach (var value in bytes)
            symbols.Add(idOfByte[value]);
        return true;
    }

    /// <summary>A growing list over a rented array.</summary>
    private ref struct SymbolList(int capacity)
    {
        private int[] items = ArrayPool<int>.Shared.Rent(Math.Max(capacity, 16));
        private int count;

        public readonly Span<int> Span => items.AsSpan(0, count);

        public void Add(int item)
        {
            if (count == items.Length)
            {
                var larger = ArrayPool<int>.Shared.Rent(count * 2);
                items.CopyTo(larger, 0);
                Free();
                items = larger;
            }
            items[count++] = item;
        }

        public readonly void Free() => ArrayPool<int>.Shared.Return(items);
    }
}

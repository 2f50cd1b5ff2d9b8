using System.Buffers;

namespace Qbb.Models.Tokenizers;

/// <summary>Finds added tokens in a text: the leftmost first, of those that start together the longest.</summary>
internal sealed class AddedTokenMatcher
{
    private static readonly CodePointTester Word = new(UnicodeSets.Word);
    private static readonly CodePointTester Space = new(UnicodeSets.WhiteSpace);

    private readonly TextTrie trie = new();
    private readonly List<AddedToken> sought = [];
    private readonly SearchValues<char> firstUnits;

    /// <param name="tokens">Each with the text that it is looked for by; of two with the same text the first counts.</param>
    public AddedTokenMatcher(IEnumerable<(string Text, AddedToken Token)> tokens)
    {
        var first = new HashSet<char>();
        foreach (var (text, token) in tokens.DistinctBy(item => item.Text).Where(item => item.Text.Length > 0))
        {
            trie.Set(text, sought.Count);
            sought.Add(token);
            first.Add(text[0]);
        }
        firstUnits = SearchValues.Create([.. first]);
    }

    /// <summary>Cuts a piece into the tokens found in it and the text between them.</summary>
    public void Split(in TextPiece piece, List<TextPiece> output)
    {
        var text = piece.Span;
        // "done" is where the last token ended, its white space included; "search" where it ended itself: the next search
        // starts there, so white space that an earlier token took may be matched again.
        var (done, search) = (0, 0);
        while (TryFind(text, search, out var start, out var stop, out var token))
        {
            search = stop;
            if (token.SingleWord && (WordEndsAt(text, start) || Word.MatchLength(text, stop) > 0))
                continue;
            if (token.StripLeft)
                start = Math.Max(SpaceBefore(text, start), done);
            if (token.StripRight)
                stop = SpaceAfter(text, stop);
            if (done < start)
                output.Add(piece.Slice(done, start));
            // Nothing is left of a token that lies within the white space which the one before it took and gives up its own.
            if (start < stop)
                output.Add(piece.Slice(start, stop) with { Id = token.Id });
            done = stop;
        }
        if (done < text.Length)
            output.Add(piece.Slice(done, text.Length));
    }

    private bool TryFind(ReadOnlySpan<char> text, int from, out int start, out int stop, out AddedToken token)
    {
        for (start = from; start < text.Length; start++)
        {
            var skipped = text[start..].IndexOfAny(firstUnits);
            if (skipped < 0)
                break;
            start += skipped;
            var longest = -1;
            stop = start;
            var node = TextTrie.Root;
            for (var position = start; position < text.Length && (node = trie.Next(node, text[position])) >= 0;)
            {
                position++;
                if (trie.ValueAt(node) is >= 0 and var found)
                    (longest, stop) = (found, position);
            }
            if (longest < 0)
                continue;
            token = sought[longest];
            return true;
        }
        (stop, token) = (0, null!);
        return false;
    }

    private static int StepBack(ReadOnlySpan<char> text, int position) =>
        position - (position > 1 && char.IsSurrogatePair(text[position - 2], text[position - 1]) ? 2 : 1);

    private static bool WordEndsAt(ReadOnlySpan<char> text, int position) =>
        position > 0 && Word.MatchLength(text, StepBack(text, position)) > 0;

    private static int SpaceBefore(ReadOnlySpan<char> text, int position)
    {
        while (position > 0 && Space.ContainsBasic(text[position - 1]))
            position--;
        return position;
    }

    private static int SpaceAfter(ReadOnlySpan<char> text, int position)
    {
        while (position < text.Length && Space.ContainsBasic(text[position]))
            position++;
        return position;
    }
}

namespace Qbb.Models.Tokenizers;

/// <summary>A stretch of text on its way through the tokenizer, or a token that was found in it.</summary>
/// <param name="Text">The string that the stretch is part of.</param>
/// <param name="Start">Where it starts there.</param>
/// <param name="Length">UTF-16 units.</param>
/// <param name="First">Where in <paramref name="Text"/> the units end that stem from the first character of the whole input.</param>
/// <param name="Id">Id of the added token that it is, -1 for text.</param>
internal readonly record struct TextPiece(string Text, int Start, int Length, int First, int Id = -1)
{
    public bool IsToken => Id >= 0;

    /// <summary>True where it starts at the start of the input, as far as that has not been removed by a normalizer.</summary>
    public bool IsFirst => Start < First;

    /// <summary>Units of this piece that stem from the first character of the input.</summary>
    public int FirstLength => Math.Clamp(First - Start, 0, Length);

    public ReadOnlySpan<char> Span => Text.AsSpan(Start, Length);

    public static TextPiece Whole(string text, int first) => new(text, 0, text.Length, first);

    /// <summary>The part between two offsets that are counted from the start of this piece.</summary>
    public TextPiece Slice(int start, int end) => new(Text, Start + start, end - start, First);

    public override string ToString() => Start == 0 && Length == Text.Length ? Text : Text.Substring(Start, Length);
}

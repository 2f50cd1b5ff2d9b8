namespace Qbb.Models.Tokenizers;

/// <summary>A stretch of text on its way through the tokenizer, or a token that was found in it.</summary>
/// <param name="Text">The string that the stretch is part of.</param>
/// <param name="Start">Where it starts there.</param>
/// <param name="Length">UTF-16 units.</param>
/// <param name="IsFirst">True where it starts at the start of the whole input.</param>
/// <param name="Id">Id of the added token that it is, -1 for text.</param>
internal readonly record struct TextPiece(string Text, int Start, int Length, bool IsFirst, int Id = -1)
{
    public bool IsToken => Id >= 0;

    public ReadOnlySpan<char> Span => Text.AsSpan(Start, Length);

    public static TextPiece Whole(string text, bool isFirst) => new(text, 0, text.Length, isFirst);

    /// <summary>The part between two offsets that are counted from the start of this piece.</summary>
    public TextPiece Slice(int start, int end) => new(Text, Start + start, end - start, IsFirst && start == 0);

    public override string ToString() => Start == 0 && Length == Text.Length ? Text : Text.Substring(Start, Length);
}

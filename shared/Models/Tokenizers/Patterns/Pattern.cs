namespace Qbb.Models.Tokenizers;

/// <summary>
/// A regular expression over code points. The runtime's own engine sees UTF-16 units, so its \p{L} misses every letter beyond the basic
/// plane; this one has the meaning of the engines behind Hugging Face's tokenizers, and a bound on the work it may do.
/// Immutable; safe to use from several threads.
/// </summary>
internal sealed class Pattern
{
    private const int MaximumLength = 20_000;

    /// <exception cref="PatternSyntaxException">The pattern is malformed or uses what is not known.</exception>
    public Pattern(string source)
    {
        if (source.Length > MaximumLength)
            throw new PatternSyntaxException(source, $"it is longer than {MaximumLength} characters");
        Source = source;
        (Code, First) = PatternCompiler.Compile(source);
    }

    public string Source { get; }

    internal PatternInstruction[] Code { get; }

    /// <summary>What a match can start with; null where a match can be empty.</summary>
    internal CodePointTester? First { get; }

    /// <summary>The matches in a text from left to right, none overlapping another.</summary>
    public PatternCursor Matches(ReadOnlySpan<char> text) => new(this, text);
}

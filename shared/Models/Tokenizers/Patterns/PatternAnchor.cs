namespace Qbb.Models.Tokenizers;

/// <summary>Conditions on a position, as Oniguruma's Ruby syntax has them (^ and $ are about lines).</summary>
internal enum PatternAnchor
{
    LineStart,
    LineEnd,
    TextStart,
    TextEnd,
    TextEndOrLastNewline,
    WordBoundary,
    NotWordBoundary,
}

namespace Qbb.Models.Tokenizers;

/// <summary>Replaces within every part.</summary>
internal sealed class ReplaceDecoder(TextReplacement replacement) : IDecoder
{
    public List<string> Decode(List<string> parts) => [.. parts.Select(replacement.Apply)];
}

namespace Qbb.Models.Tokenizers;

/// <summary>Rewrites a stretch of text before it is cut into words. Implementations are immutable.</summary>
internal interface INormalizer
{
    string Normalize(string text);
}

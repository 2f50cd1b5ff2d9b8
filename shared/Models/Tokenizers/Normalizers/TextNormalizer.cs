namespace Qbb.Models.Tokenizers;

/// <summary>A normalizer that is one function.</summary>
internal sealed class TextNormalizer(Func<string, string> function) : INormalizer
{
    public string Normalize(string text) => function(text);
}

namespace Qbb.Models.Tokenizers;

/// <summary>Normalizers one after the other.</summary>
internal sealed class NormalizerSequence(IReadOnlyList<INormalizer> items) : INormalizer
{
    public string Normalize(string text) => items.Aggregate(text, (current, item) => item.Normalize(current));
}

namespace Qbb.Models.Tokenizers;

/// <summary>Decoders one after the other.</summary>
internal sealed class DecoderSequence(IReadOnlyList<IDecoder> items) : IDecoder
{
    public List<string> Decode(List<string> parts) => items.Aggregate(parts, (current, item) => item.Decode(current));
}

namespace Qbb.Models.Tokenizers;

/// <summary>All parts as one, so that the next step sees the text as a whole.</summary>
internal sealed class FuseDecoder : IDecoder
{
    public List<string> Decode(List<string> parts) => [string.Concat(parts)];
}

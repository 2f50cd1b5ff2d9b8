namespace Qbb.Models.Tokenizers;

/// <summary>BPEDecoder: the end-of-word mark becomes a space, in the last token nothing.</summary>
internal sealed class SuffixDecoder(string suffix) : IDecoder
{
    public List<string> Decode(List<string> parts) => suffix.Length == 0
        ? parts
        : [.. parts.Select((part, index) => part.Replace(suffix, index == parts.Count - 1 ? "" : " "))];
}

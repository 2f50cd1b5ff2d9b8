namespace Qbb.Models.Tokenizers;

/// <summary>One step from tokens back to text. Implementations are immutable.</summary>
internal interface IDecoder
{
    /// <summary>New parts for old; the parts after the last step, joined, are the text.</summary>
    List<string> Decode(List<string> parts);
}

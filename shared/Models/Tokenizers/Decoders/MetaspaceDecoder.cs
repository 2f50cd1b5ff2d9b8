namespace Qbb.Models.Tokenizers;

/// <summary>The visible mark back to a space; in the first token it goes, where the encoder put it.</summary>
internal sealed class MetaspaceDecoder(string replacement, PrependScheme scheme) : IDecoder
{
    public List<string> Decode(List<string> parts) =>
        [.. parts.Select((part, index) => part.Replace(replacement, index == 0 && scheme != PrependScheme.Never ? "" : " "))];
}

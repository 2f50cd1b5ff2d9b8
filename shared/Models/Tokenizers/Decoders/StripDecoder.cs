namespace Qbb.Models.Tokenizers;

/// <summary>Takes up to so many of one character off the start and the end of every part.</summary>
internal sealed class StripDecoder(string content, int start, int stop) : IDecoder
{
    public List<string> Decode(List<string> parts) => [.. parts.Select(Strip)];

    private string Strip(string part)
    {
        var (first, end) = (0, part.Length);
        for (var i = 0; i < start && Has(part, first); i++)
            first += content.Length;
        for (var i = 0; i < stop && end - content.Length >= first && Has(part, end - content.Length); i++)
            end -= content.Length;
        return part[first..end];
    }

    private bool Has(string part, int position) => string.CompareOrdinal(part, position, content, 0, content.Length) == 0;
}

namespace Qbb.Models.Tokenizers;

/// <summary>BPEDecoder: the end-of-word mark becomes a space, in the last token nothing.</summary>
internal sealed class SuffixDecoder(string suffix) : IDecoder
{
    public List<string> Decode(List<string> parts) => suffix.Length == 0
        ? parts
        : [.. parts.Select((part, index) => part.Replace(suffix, index == parts.Count - 1 ? "" : " "))];
}

/// <summary>WordPiece: pieces that do not continue a word get a space in front; on request the spaces before marks and contractions go.</summary>
internal sealed class WordPieceDecoder(string prefix, bool cleanup) : IDecoder
{
    public List<string> Decode(List<string> parts)
    {
        var result = new List<string>(parts.Count);
        foreach (var part in parts)
        {
            var text = result.Count == 0 ? part : part.StartsWith(prefix, StringComparison.Ordinal) ? part[prefix.Length..] : " " + part;
            result.Add(cleanup ? CleanUp(text) : text);
        }
        return result;
    }

    internal static string CleanUp(string text) => text
        .Replace(" .", ".").Replace(" ?", "?").Replace(" !", "!").Replace(" ,", ",").Replace(" ' ", "'").Replace(" n't", "n't")
        .Replace(" 'm", "'m").Replace(" do not", " don't").Replace(" 's", "'s").Replace(" 've", "'ve").Replace(" 're", "'re");
}

/// <summary>CTC: a token that comes several times in a row is one; padding goes, the delimiter of words becomes a space.</summary>
internal sealed class CtcDecoder(string padding, string delimiter, bool cleanup) : IDecoder
{
    public List<string> Decode(List<string> parts)
    {
        var result = new List<string>();
        for (var i = 0; i < parts.Count; i++)
        {
            if (i > 0 && parts[i] == parts[i - 1])
                continue;
            var text = padding.Length == 0 ? parts[i] : parts[i].Replace(padding, "");
            if (cleanup)
                text = WordPieceDecoder.CleanUp(text);
            if (cleanup && delimiter.Length > 0)
                text = text.Replace(delimiter, " ");
            if (text.Length > 0)
                result.Add(text);
        }
        return result;
    }
}

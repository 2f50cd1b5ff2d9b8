using System.Globalization;
using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>Runs of tokens like &lt;0x0A&gt; back to text; a run that is not valid UTF-8 as a whole gives one U+FFFD per byte.</summary>
internal sealed class ByteFallbackDecoder : IDecoder
{
    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    public List<string> Decode(List<string> parts)
    {
        var result = new List<string>(parts.Count);
        var run = new List<byte>();
        foreach (var part in parts)
        {
            if (TryParse(part, out var value))
            {
                run.Add(value);
                continue;
            }
            Flush();
            result.Add(part);
        }
        Flush();
        return result;

        void Flush()
        {
            if (run.Count == 0)
                return;
            try
            {
                result.Add(Strict.GetString([.. run]));
            }
            catch (DecoderFallbackException)
            {
                result.AddRange(Enumerable.Repeat("\uFFFD", run.Count));
            }
            run.Clear();
        }
    }

    /// <summary>The byte of a token such as &lt;0x0A&gt;.</summary>
    public static bool TryParse(string token, out byte value)
    {
        value = 0;
        return token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
            && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
    }
}

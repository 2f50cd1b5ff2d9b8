using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>Characters of GPT-2's alphabet back to bytes; a token with any other character stands for its own UTF-8 bytes.</summary>
internal sealed class ByteLevelDecoder : IDecoder
{
    public List<string> Decode(List<string> parts) => [Encoding.UTF8.GetString([.. parts.SelectMany(BytesOf)])];

    /// <summary>The bytes of a token.</summary>
    public static byte[] BytesOf(string token)
    {
        var bytes = new byte[token.Length];
        for (var i = 0; i < token.Length; i++)
        {
            if (ByteAlphabet.ByteOf(token[i]) is not (>= 0 and var value))
                return Encoding.UTF8.GetBytes(token);
            bytes[i] = (byte)value;
        }
        return bytes;
    }
}

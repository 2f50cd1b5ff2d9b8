using System.Text;

namespace Qbb.Models.Tokenizers;

/// <summary>Characters of GPT-2's alphabet back to bytes; a token with any other character stands for its own UTF-8 bytes.</summary>
internal sealed class ByteLevelDecoder : IDecoder
{
    public List<string> Decode(List<string> parts)
    {
        var bytes = new List<byte>(parts.Count * 4);
        foreach (var part in parts)
        {
            var start = bytes.Count;
            foreach (var character in part)
            {
                var value = ByteAlphabet.ByteOf(character);
                if (value < 0)
                {
                    bytes.RemoveRange(start, bytes.Count - start);
                    bytes.AddRange(Encoding.UTF8.GetBytes(part));
                    break;
                }
                bytes.Add((byte)value);
            }
        }
        return [Encoding.UTF8.GetString([.. bytes])];
    }
}

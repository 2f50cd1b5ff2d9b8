using System.Text;

namespace Qbb.Models.Tests.Tokenizers;

/// <summary>Random strings of valid code points: ASCII, other scripts, planes beyond the first, unassigned ones, white space.</summary>
internal static class RandomText
{
    public static string Create(Random random, int maximumLength)
    {
        var result = new StringBuilder();
        for (var left = random.Next(maximumLength + 1); left > 0; left--)
            result.Append(RandomRune(random).ToString());
        return result.ToString();
    }

    private static Rune RandomRune(Random random)
    {
        while (true)
        {
            var codePoint = random.Next(8) switch
            {
                0 or 1 => random.Next('a', 'z' + 1),
                2 => " \t\n\r\u00A0\u3000  "[random.Next(8)],
                3 => random.Next(0x80),
                4 => random.Next(0x800),
                5 => random.Next(0x10000),
                6 => random.Next(0x1F300, 0x1FB00),
                _ => random.Next(0x110000),
            };
            if (Rune.IsValid(codePoint))
                return new Rune(codePoint);
        }
    }
}

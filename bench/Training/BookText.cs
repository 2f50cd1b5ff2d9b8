using System.Text;
using Qbb.Models.Tokenizers;

namespace Qbb.Bench.Training;

/// <summary>
/// Turns a text of one paragraph a line, documents split by two blank lines, into one stream of tokens. A begin-of-text token
/// stands before every document and, so that a model learns to start anywhere, before a paragraph every few thousand characters;
/// an end-of-text token closes each document.
/// </summary>
public static class BookText
{
    private const int CharactersPerStart = 3000;

    public static int[] Encode(TextReader text, Tokenizer tokenizer, int begin, int end)
    {
        var ids = new List<int>(1 << 20);
        var passage = new StringBuilder();
        var blank = 0;
        var open = false;
        void Flush()
        {
            if (passage.Length == 0)
                return;
            ids.Add(begin);
            ids.AddRange(tokenizer.Encode(passage.ToString(), addSpecialTokens: false));
            passage.Clear();
            open = true;
        }
        while (text.ReadLine() is { } line)
        {
            if (string.IsNullOrWhiteSpace(line))
            {
                if (++blank == 2 && (open || passage.Length > 0))
                {
                    Flush();
                    ids.Add(end);
                    open = false;
                }
                continue;
            }
            blank = 0;
            passage.Append(line).Append('\n');
            if (passage.Length >= CharactersPerStart)
                Flush();
        }
        Flush();
        if (open)
            ids.Add(end);
        return [.. ids];
    }
}

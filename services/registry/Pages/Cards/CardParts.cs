using System.Text;
using Markdig.Extensions.Tables;
using Markdig.Syntax;
using Markdig.Syntax.Inlines;

namespace Qbb.Registry.Pages.Cards;

/// <summary>
/// Markdig's time grows with the square of the rows of a table and of the marks in a paragraph. So long tables are parted before they are parsed, and
/// joined again after it, and what the marks cost is told beforehand.
/// </summary>
internal static class CardParts
{
    /// <summary>Squares of marks that take some 20 ms.</summary>
    public const long MostCost = 4_000_000;

    private const int MostRows = 16;

    // In the head of a table that continues the one before it. A card cannot bring its own.
    private const char Mark = '\uE000';

    /// <summary>The text with its long tables in parts, and the cost of its marks.</summary>
    public static (string Text, long Cost) Of(string text)
    {
        var lines = text.Replace(Mark, '\uFFFD').Split('\n');
        var parted = new StringBuilder(text.Length + 1024);
        var (head, rule, rows) = ("", "", 0);
        var (cost, marks, fence) = (0L, 0L, "");
        foreach (var (index, line) in lines.Index())
        {
            var start = line.AsSpan().Trim();
            if (fence.Length > 0)
            {
                fence = start.StartsWith(fence) && start.IndexOfAnyExcept(fence[0]) < 0 ? "" : fence;
            }
            else if (FenceOf(start) is { Length: > 0 } opened)
            {
                (fence, rows) = (opened, 0);
                End();
            }
            else
            {
                var isTop = line.Length - line.AsSpan().TrimStart().Length < 4;
                if (rows == 0 && isTop && index > 0 && IsRule(start) && lines[index - 1].Contains('|'))
                    (head, rule, rows) = (lines[index - 1], line, 1);
                else
                    rows = rows == 0 || start.IsEmpty ? 0 : rows + 1;
                if (rows > MostRows)
                {
                    parted.Append('\n').Append(Marked(head)).Append('\n').Append(rule).Append('\n');
                    rows = 2;
                    End();
                }
                Count(start);
            }
            parted.Append(line);
            if (index < lines.Length - 1)
                parted.Append('\n');
        }
        End();
        return (parted.ToString(), cost);

        void End() => (cost, marks) = (cost + marks * marks, 0);

        // A quoted table is not parted: its rows count.
        void Count(ReadOnlySpan<char> line)
        {
            var prefix = PrefixOf(line);
            var isQuotedRow = prefix > 0 && line.Contains('|');
            if (line.IsEmpty || line[0] == '#' || (prefix > 0 && !isQuotedRow))
                End();
            marks += prefix + line.Count('[') + line.Count('*') + line.Count('_') + line.Count('~') + (isQuotedRow ? line.Count('|') : 0);
        }
    }

    /// <summary>Puts the rows of parts back into the tables that they are of.</summary>
    public static void Join(ContainerBlock blocks)
    {
        for (var index = 0; index < blocks.Count; index++)
        {
            if (blocks[index] is ContainerBlock inner and not Table)
                Join(inner);
            if (index == 0 || blocks[index] is not Table part || blocks[index - 1] is not Table whole || !IsMarked(part))
                continue;
            foreach (var row in part.Skip(1).ToList())
            {
                part.Remove(row);
                whole.Add(row);
            }
            blocks.RemoveAt(index--);
        }
    }

    private static bool IsMarked(Table table) =>
        table.FirstOrDefault() is TableRow row && row.Descendants<LiteralInline>().FirstOrDefault() is { Content: { Length: > 0, CurrentChar: Mark } };

    private static string Marked(string head)
    {
        var cell = head.Length - head.AsSpan().TrimStart().Length;
        return head.Insert(head[cell] == '|' ? cell + 1 : cell, $"{Mark}");
    }

    private static bool IsRule(ReadOnlySpan<char> line) => line.Contains('|') && line.Contains('-') && line.IndexOfAnyExcept("|-: \t") < 0;

    /// <summary>The run of marks that opens a block of code; empty for none.</summary>
    private static string FenceOf(ReadOnlySpan<char> line)
    {
        if (line.Length < 3 || line[0] is not ('`' or '~'))
            return "";
        var length = line.IndexOfAnyExcept(line[0]) is var end and >= 0 ? end : line.Length;
        return length >= 3 && (line[0] == '~' || !line[length..].Contains('`')) ? new string(line[0], length) : "";
    }

    /// <summary>How many lists and quotes a line begins.</summary>
    private static int PrefixOf(ReadOnlySpan<char> line)
    {
        for (var count = 0; ; count++)
        {
            line = line.TrimStart();
            var digits = line.IndexOfAnyExceptInRange('0', '9');
            var length = line.IsEmpty ? 0
                : line[0] == '>' ? 1
                : line.Length > 1 && line[0] is ('-' or '+' or '*') && line[1] == ' ' ? 1
                : digits is > 0 and < 10 && line[digits] is ('.' or ')') && digits + 1 < line.Length && line[digits + 1] == ' ' ? digits + 1 : 0;
            if (length == 0)
                return count;
            line = line[length..];
        }
    }
}

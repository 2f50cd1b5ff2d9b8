using System.Globalization;
using static Qbb.Models.Tokenizers.PatternNode;

namespace Qbb.Models.Tokenizers;

/// <summary>
/// Reads a regular expression in the syntax of Oniguruma's default (Ruby), which Hugging Face's tokenizers use. What it does not know
/// (back references, conditionals, blocks) is refused by name, never read as something else.
/// </summary>
internal sealed partial class PatternParser
{
    private const int MaximumDepth = 100;
    private const int MaximumRepeat = 1000;

    private readonly string pattern;
    private int position;
    private int depth;
    private bool ignoreCase;
    private bool dotMatchesNewline;
    private bool extended;

    private PatternParser(string pattern) => this.pattern = pattern;

    /// <exception cref="PatternSyntaxException">The pattern is malformed or uses what is not known.</exception>
    public static PatternNode Parse(string pattern)
    {
        var parser = new PatternParser(pattern);
        var node = parser.ParseChoice();
        return parser.AtEnd ? node : throw parser.Error("there is a ) without its (");
    }

    private bool AtEnd => position >= pattern.Length;

    private PatternSyntaxException Error(string reason) => new(pattern, reason);

    private bool Take(string text)
    {
        if (string.CompareOrdinal(pattern, position, text, 0, text.Length) != 0)
            return false;
        position += text.Length;
        return true;
    }

    private bool Peek(char unit) => !AtEnd && pattern[position] == unit;

    private int TakeCodePoint()
    {
        if (AtEnd)
            throw Error("it ends too early");
        var codePoint = (int)pattern[position];
        if (position + 1 < pattern.Length && char.IsSurrogatePair(pattern[position], pattern[position + 1]))
            codePoint = char.ConvertToUtf32(pattern[position], pattern[position + 1]);
        position += codePoint > 0xFFFF ? 2 : 1;
        return codePoint;
    }

    private PatternNode ParseChoice()
    {
        if (++depth > MaximumDepth)
            throw Error($"groups are nested more than {MaximumDepth} deep");
        var (savedIgnoreCase, savedDot, savedExtended) = (ignoreCase, dotMatchesNewline, extended);
        var items = new List<PatternNode> { ParseSequence() };
        while (Take("|"))
            items.Add(ParseSequence());
        (ignoreCase, dotMatchesNewline, extended) = (savedIgnoreCase, savedDot, savedExtended);
        depth--;
        return items.Count == 1 ? items[0] : new Choice(items);
    }

    private PatternNode ParseSequence()
    {
        var items = new List<PatternNode>();
        while (!AtEnd && !Peek('|') && !Peek(')'))
        {
            if (extended && SkipExtended())
                continue;
            var item = ParseAtom();
            items.Add(item == null ? ParseRestUnderOptions() : ParseQuantifiers(item));
        }
        return items.Count == 1 ? items[0] : new Sequence(items);
    }

    /// <summary>What follows (?i) belongs to the new options up to the end of the group, alternatives included.</summary>
    private PatternNode ParseRestUnderOptions() => ParseChoice();

    private bool SkipExtended()
    {
        if (char.IsWhiteSpace(pattern[position]))
        {
            position++;
            return true;
        }
        if (!Peek('#'))
            return false;
        while (!AtEnd && !Peek('\n'))
            position++;
        return true;
    }

    private PatternNode ParseQuantifiers(PatternNode item)
    {
        while (!AtEnd)
        {
            var interval = false;
            int least, most;
            if (Take("*"))
                (least, most) = (0, int.MaxValue);
            else if (Take("+"))
                (least, most) = (1, int.MaxValue);
            else if (Take("?"))
                (least, most) = (0, 1);
            else if (Peek('{') && TryParseInterval(out least, out most))
                interval = true;
            else
                break;
            // Ruby knows *+, ++ and ?+ as possessive, but {n,m}+ as a repeated interval and {n}? as an optional one.
            var lazy = !(interval && least == most) && Take("?");
            var possessive = !lazy && !interval && Take("+");
            item = Repeated(item, least, most, lazy);
            if (possessive)
                item = new Atomic(item);
        }
        return item;
    }

    private PatternNode Repeated(PatternNode item, int least, int most, bool lazy)
    {
        if (item is Anchor or Look)
            throw Error("a condition is repeated");
        if (most == int.MaxValue && item.IsNullable)
        {
            // (x*)* and (x?)+ ask for nothing that x* does not.
            if (item is Repeat { Least: 0 } inner && inner.Lazy == lazy && !inner.Item.IsNullable)
                return inner with { Most = int.MaxValue };
            throw Error("something that may match the empty text is repeated without end");
        }
        return new Repeat(item, least, most, lazy);
    }

    private bool TryParseInterval(out int least, out int most)
    {
        var close = pattern.IndexOf('}', position);
        (least, most) = (0, 0);
        if (close < 0)
            return false;
        var parts = pattern[(position + 1)..close].Split(',');
        if (parts.Length > 2 || parts.All(part => part.Length == 0) || parts.Any(part => !part.All(char.IsAsciiDigit)))
            return false;
        least = parts[0].Length == 0 ? 0 : Number(parts[0]);
        most = parts.Length == 1 ? least : parts[1].Length == 0 ? int.MaxValue : Number(parts[1]);
        if (most < least)
            throw Error($"the interval {pattern[position..(close + 1)]} runs backwards");
        position = close + 1;
        return true;

        int Number(string digits) =>
            int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number <= MaximumRepeat
                ? number
                : throw Error($"a repeat count of {digits} is more than {MaximumRepeat}");
    }

    /// <summary>One atom; null after options like (?i), which apply to the rest of the group.</summary>
    private PatternNode? ParseAtom()
    {
        switch (pattern[position])
        {
            case '(':
                return ParseGroup();
            case '[':
                position++;
                return new One(ParseClass(isOutermost: true));
            case '.':
                position++;
                return new One(dotMatchesNewline ? CodePointSet.All : CodePointSet.Of('\n').Invert());
            case '^':
                position++;
                return new Anchor(PatternAnchor.LineStart);
            case '$':
                position++;
                return new Anchor(PatternAnchor.LineEnd);
            case '\\':
                return ParseEscapedAtom();
            case '*' or '+' or '?':
                throw Error("a quantifier has nothing to repeat");
            default:
                return new One(Fold(CodePointSet.Of(TakeCodePoint())));
        }
    }

    private CodePointSet Fold(CodePointSet set) => ignoreCase ? CaseFolding.Close(set) : set;

    private PatternNode? ParseGroup()
    {
        position++;
        Func<PatternNode, PatternNode> wrap = item => item;
        if (Take("?#"))
        {
            var close = pattern.IndexOf(')', position);
            position = close < 0 ? throw Error("a comment is not closed") : close + 1;
            return new Sequence([]);
        }
        if (Take("?:"))
            wrap = item => item;
        else if (Take("?="))
            wrap = item => new Look(item, Behind: false, Negative: false);
        else if (Take("?!"))
            wrap = item => new Look(item, Behind: false, Negative: true);
        else if (Take("?<="))
            wrap = item => new Look(item, Behind: true, Negative: false);
        else if (Take("?<!"))
            wrap = item => new Look(item, Behind: true, Negative: true);
        else if (Take("?>"))
            wrap = item => new Atomic(item);
        else if (Take("?<"))
        {
            var close = pattern.IndexOf('>', position);
            position = close < 0 ? throw Error("the name of a group is not closed") : close + 1;
        }
        else if (Take("?"))
            return ParseOptions();
        return wrap(ParseGroupBody());
    }

    private PatternNode ParseGroupBody()
    {
        var item = ParseChoice();
        return Take(")") ? item : throw Error("a group is not closed");
    }

    private PatternNode? ParseOptions()
    {
        var saved = (ignoreCase, dotMatchesNewline, extended);
        var value = true;
        while (!AtEnd)
        {
            var option = pattern[position++];
            switch (option)
            {
                case '-':
                    value = false;
                    break;
                case 'i':
                    ignoreCase = value;
                    break;
                case 'm' or 's':
                    dotMatchesNewline = value;
                    break;
                case 'x':
                    extended = value;
                    break;
                case ')':
                    return null;
                case ':':
                    var item = ParseGroupBody();
                    (ignoreCase, dotMatchesNewline, extended) = saved;
                    return item;
                default:
                    throw Error($"(?{option} is not supported");
            }
        }
        throw Error("a group is not closed");
    }
}

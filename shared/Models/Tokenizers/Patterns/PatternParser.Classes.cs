using System.Globalization;
using static Qbb.Models.Tokenizers.PatternNode;

namespace Qbb.Models.Tokenizers;

/// <summary>Escapes and character classes.</summary>
internal sealed partial class PatternParser
{
    private static readonly CodePointSet HexDigit = CodePointSet.Of(['0', '9', 'A', 'F', 'a', 'f']);

    private static readonly CodePointSet LineBreak = CodePointSet.Of(['\n', '\r', 0x85, 0x85, 0x2028, 0x2029]);

    private static readonly string[] BracketNames =
        ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "space", "upper", "word", "xdigit"];

    private static CodePointSet Graph =>
        UnicodeSets.WhiteSpace.Union(UnicodeSets.Category("Cc")!).Union(UnicodeSets.Category("Cn")!).Union(UnicodeSets.Category("Cs")!).Invert();

    private PatternNode ParseEscapedAtom()
    {
        if (position + 1 >= pattern.Length)
            throw Error("it ends with a backslash");
        PatternAnchor? anchor = pattern[position + 1] switch
        {
            'A' => PatternAnchor.TextStart,
            'z' => PatternAnchor.TextEnd,
            'Z' => PatternAnchor.TextEndOrLastNewline,
            'b' => PatternAnchor.WordBoundary,
            'B' => PatternAnchor.NotWordBoundary,
            _ => null,
        };
        if (anchor != null)
        {
            position += 2;
            return new Anchor(anchor.Value);
        }
        if (pattern[position + 1] == 'R')
        {
            position += 2;
            var pair = new Sequence([new One(CodePointSet.Of('\r')), new One(CodePointSet.Of('\n'))]);
            return new Atomic(new Choice([pair, new One(LineBreak)]));
        }
        position++;
        // As in Oniguruma, (?i) is about characters and classes: \p{Lu} by itself stays upper case.
        var set = ParseEscape(insideClass: false, out var single);
        return new One(single < 0 ? set : Fold(set));
    }

    /// <summary>What follows a backslash, as a set; <paramref name="single"/> is its code point where it stands for one, else -1.</summary>
    private CodePointSet ParseEscape(bool insideClass, out int single)
    {
        single = -1;
        var letter = TakeCodePoint();
        switch (letter)
        {
            case 'd':
                return UnicodeSets.DecimalDigit;
            case 'D':
                return UnicodeSets.DecimalDigit.Invert();
            case 'w':
                return insideClass ? UnicodeSets.PatternWord : UnicodeSets.PatternWordEscape;
            case 'W':
                return (insideClass ? UnicodeSets.PatternWord : UnicodeSets.PatternWordEscape).Invert();
            case 's':
                return UnicodeSets.WhiteSpace;
            case 'S':
                return UnicodeSets.WhiteSpace.Invert();
            case 'h':
                return HexDigit;
            case 'H':
                return HexDigit.Invert();
            case 'p' or 'P':
                return ParseProperty(letter == 'P');
        }
        single = letter switch
        {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\f',
            'v' => '\v',
            'a' => '\a',
            'e' => 0x1B,
            'b' when insideClass => '\b',
            'x' => ParseHexEscape(),
            'u' => ParseHex(4, 4),
            '0' => 0,
            _ when letter < 0x80 && char.IsAsciiLetterOrDigit((char)letter) => throw Error($"\\{(char)letter} is not supported"),
            _ => letter,
        };
        return CodePointSet.Of(single);
    }

    private int ParseHexEscape()
    {
        if (!Take("{"))
            return ParseHex(1, 2);
        var codePoint = ParseHex(1, 6);
        return Take("}") ? codePoint : throw Error("\\x{ is not closed");
    }

    private int ParseHex(int least, int most)
    {
        var start = position;
        while (!AtEnd && position - start < most && char.IsAsciiHexDigit(pattern[position]))
            position++;
        if (position - start < least)
            throw Error("a code point in hexadecimal is incomplete");
        var codePoint = int.Parse(pattern.AsSpan(start, position - start), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        return codePoint <= CodePointSet.Last ? codePoint : throw Error($"{codePoint:X} is not a code point");
    }

    private CodePointSet ParseProperty(bool negative)
    {
        string name;
        if (Take("{"))
        {
            var close = pattern.IndexOf('}', position);
            if (close < 0)
                throw Error("\\p{ is not closed");
            name = pattern[position..close];
            position = close + 1;
        }
        else
        {
            name = char.ConvertFromUtf32(TakeCodePoint());
        }
        if (name.StartsWith('^'))
        {
            negative = !negative;
            name = name[1..];
        }
        var set = NamedSet(name)
            ?? throw Error($"the property \"{name}\" is not supported: general categories, scripts, Alphabetic and the POSIX names are");
        return negative ? set.Invert() : set;
    }

    private static CodePointSet? NamedSet(string name) => UnicodeSets.Normalise(name) switch
    {
        "any" => CodePointSet.All,
        "alpha" or "alphabetic" => UnicodeTables.Alphabetic,
        "alnum" => UnicodeTables.Alphabetic.Union(UnicodeSets.DecimalDigit),
        "upper" or "uppercase" => UnicodeTables.Uppercase,
        "lower" or "lowercase" => UnicodeTables.Lowercase,
        "digit" => UnicodeSets.DecimalDigit,
        "space" or "whitespace" => UnicodeSets.WhiteSpace,
        "blank" => UnicodeSets.Category("Zs")!.Union(CodePointSet.Of('\t')),
        "cntrl" => UnicodeSets.Category("Cc"),
        "punct" => UnicodeSets.Category("P"),
        "graph" => Graph,
        "print" => Graph.Union(UnicodeSets.Category("Zs")!),
        "word" => UnicodeSets.PatternWord,
        "xdigit" => HexDigit,
        "ascii" => CodePointSet.Range(0, 0x7F),
        var key => UnicodeSets.Category(key) ?? UnicodeTables.Script(key),
    };

    /// <summary>[:punct:] has the symbols too, unlike \p{Punct}.</summary>
    private static CodePointSet? BracketSet(string name) =>
        name == "punct" ? UnicodeSets.Category("P")!.Union(UnicodeSets.Category("S")!) : BracketNames.Contains(name) ? NamedSet(name) : null;

    /// <summary>
    /// A class after its opening bracket: ranges, escapes, nested classes, POSIX brackets and intersections. Case is folded once, in the
    /// outermost class, before it is negated: [[^\p{Lu}]] has the lower case letters under (?i) too.
    /// </summary>
    private CodePointSet ParseClass(bool isOutermost)
    {
        if (++depth > MaximumDepth)
            throw Error($"classes are nested more than {MaximumDepth} deep");
        var negative = Take("^");
        var result = ParseClassUnion();
        while (Take("&&"))
            result = result.Intersect(ParseClassUnion());
        if (!Take("]"))
            throw Error("a class is not closed");
        depth--;
        if (isOutermost)
            result = Fold(result);
        return negative ? result.Invert() : result;
    }

    private CodePointSet ParseClassUnion()
    {
        var ranges = new List<int>();
        var result = CodePointSet.Empty;
        var first = true;
        while (!AtEnd && (first || !Peek(']')) && string.CompareOrdinal(pattern, position, "&&", 0, 2) != 0)
        {
            first = false;
            var set = ParseClassItem(out var low);
            if (low < 0)
            {
                result = result.Union(set);
                continue;
            }
            var high = low;
            if (Peek('-') && position + 1 < pattern.Length && pattern[position + 1] != ']')
            {
                position++;
                ParseClassItem(out high);
                if (high < low)
                    throw Error("a range of a class runs backwards or ends in a class");
            }
            ranges.AddRange([low, high]);
        }
        return result.Union(CodePointSet.Of(ranges.ToArray()));
    }

    private CodePointSet ParseClassItem(out int single)
    {
        single = -1;
        if (Take("[:"))
        {
            var close = pattern.IndexOf(":]", position, StringComparison.Ordinal);
            if (close < 0)
                throw Error("a POSIX bracket is not closed");
            var name = pattern[position..close];
            position = close + 2;
            var negative = name.StartsWith('^');
            var set = BracketSet(name.TrimStart('^')) ?? throw Error($"[:{name}:] is not supported");
            return negative ? set.Invert() : set;
        }
        if (Take("["))
            return ParseClass(isOutermost: false);
        if (Take("\\"))
            return ParseEscape(insideClass: true, out single);
        single = TakeCodePoint();
        return CodePointSet.Of(single);
    }
}

using System.Collections.Concurrent;
using System.Globalization;

namespace Qbb.Models.Tokenizers;

/// <summary>Sets of code points by Unicode property, from the tables of the .NET runtime.</summary>
internal static class UnicodeSets
{
    /// <summary>Short names in the order of <see cref="UnicodeCategory"/>.</summary>
    private static readonly string[] CategoryNames =
    [
        "lu", "ll", "lt", "lm", "lo", "mn", "mc", "me", "nd", "nl", "no", "zs", "zl", "zp", "cc", "cf", "cs", "co", "pc", "pd", "ps", "pe",
        "pi", "pf", "po", "sm", "sc", "sk", "so", "cn",
    ];

    private static readonly Dictionary<string, string> LongNames = new()
    {
        ["letter"] = "l",
        ["uppercaseletter"] = "lu",
        ["lowercaseletter"] = "ll",
        ["titlecaseletter"] = "lt",
        ["casedletter"] = "lc",
        ["modifierletter"] = "lm",
        ["otherletter"] = "lo",
        ["mark"] = "m",
        ["nonspacingmark"] = "mn",
        ["spacingmark"] = "mc",
        ["enclosingmark"] = "me",
        ["number"] = "n",
        ["decimalnumber"] = "nd",
        ["letternumber"] = "nl",
        ["othernumber"] = "no",
        ["punctuation"] = "p",
        ["connectorpunctuation"] = "pc",
        ["dashpunctuation"] = "pd",
        ["openpunctuation"] = "ps",
        ["closepunctuation"] = "pe",
        ["initialpunctuation"] = "pi",
        ["finalpunctuation"] = "pf",
        ["otherpunctuation"] = "po",
        ["symbol"] = "s",
        ["mathsymbol"] = "sm",
        ["currencysymbol"] = "sc",
        ["modifiersymbol"] = "sk",
        ["othersymbol"] = "so",
        ["separator"] = "z",
        ["spaceseparator"] = "zs",
        ["lineseparator"] = "zl",
        ["paragraphseparator"] = "zp",
        ["other"] = "c",
        ["control"] = "cc",
        ["format"] = "cf",
        ["surrogate"] = "cs",
        ["privateuse"] = "co",
        ["unassigned"] = "cn",
    };

    private static readonly ConcurrentDictionary<string, CodePointSet> ByName = new();

    private static readonly Lazy<CodePointSet[]> ByCategory = new(ReadCategories);

    /// <summary>Unicode's White_Space: what \s matches, in Rust and in Oniguruma alike.</summary>
    public static CodePointSet WhiteSpace { get; } = CodePointSet.Of(
    [
        0x09, 0x0D, 0x20, 0x20, 0x85, 0x85, 0xA0, 0xA0, 0x1680, 0x1680, 0x2000, 0x200A, 0x2028, 0x2029, 0x202F, 0x202F, 0x205F, 0x205F,
        0x3000, 0x3000,
    ]);

    public static CodePointSet DecimalDigit => Category("Nd")!;

    /// <summary>What \w of Rust's regular expressions matches: letters, marks, decimal digits, letter numbers, connectors, joiners, circled letters.</summary>
    public static CodePointSet Word { get; } = Union(Category("L")!, Category("M")!, Category("Nd")!, Category("Nl")!, Category("Pc")!)
        .Union(CodePointSet.Of([0x200C, 0x200D, 0x24B6, 0x24E9, 0x1F130, 0x1F149, 0x1F150, 0x1F169, 0x1F170, 0x1F189]));

    /// <summary>[[:word:]] and [\w] of Oniguruma: without the joiners.</summary>
    public static CodePointSet PatternWord { get; } = Word.Intersect(CodePointSet.Range(0x200C, 0x200D).Invert());

    /// <summary>\w and \b of Oniguruma outside a class: six numbers of Latin-1 are letters there too.</summary>
    public static CodePointSet PatternWordEscape { get; } = PatternWord.Union(CodePointSet.Of([0xB2, 0xB3, 0xB9, 0xB9, 0xBC, 0xBE]));

    /// <summary>Numbers, those of Unicode 17 included, which the runtime's tables do not have yet.</summary>
    public static CodePointSet Numeric { get; } = Category("N")!.Union(CodePointSet.Of([0x11DE0, 0x11DE9, 0x16FF4, 0x16FF6]));

    /// <summary>A general category or group of categories by its short or long name (L, Lu, Letter, …); null for an unknown name.</summary>
    public static CodePointSet? Category(string name)
    {
        var key = Normalise(name);
        var shortName = LongNames.GetValueOrDefault(key, key);
        if (!ByName.TryGetValue(shortName, out var set) && (set = Unite(shortName)) != null)
            ByName[shortName] = set;
        return set;
    }

    private static CodePointSet? Unite(string shortName)
    {
        if (shortName == "lc")
            return Union(Category("Lu")!, Category("Ll")!, Category("Lt")!);
        var members = Enumerable.Range(0, CategoryNames.Length)
            .Where(i => CategoryNames[i] == shortName || (shortName.Length == 1 && CategoryNames[i][0] == shortName[0]))
            .Select(i => ByCategory.Value[i])
            .ToArray();
        return members.Length == 0 ? null : Union(members);
    }

    private static CodePointSet Union(params CodePointSet[] sets) => sets.Aggregate((a, b) => a.Union(b));

    public static string Normalise(string name) => name.Replace("_", "").Replace(" ", "").Replace("-", "").ToLowerInvariant();

    private static CodePointSet[] ReadCategories()
    {
        var bounds = new List<int>[CategoryNames.Length];
        for (var i = 0; i < bounds.Length; i++)
            bounds[i] = [];
        for (var codePoint = 0; codePoint <= CodePointSet.Last; codePoint++)
        {
            var ranges = bounds[(int)CharUnicodeInfo.GetUnicodeCategory(codePoint)];
            if (ranges.Count > 0 && ranges[^1] == codePoint - 1)
                ranges[^1] = codePoint;
            else
                ranges.AddRange([codePoint, codePoint]);
        }
        return [.. bounds.Select(ranges => CodePointSet.Of(ranges.ToArray()))];
    }
}

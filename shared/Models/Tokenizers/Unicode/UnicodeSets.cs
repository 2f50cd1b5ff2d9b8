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

    /// <summary>What \w matches: letters, marks, decimal digits, letter numbers, connectors, joiners and circled letters.</summary>
    public static CodePointSet Word { get; } = Union(Category("L")!, Category("M")!, Category("Nd")!, Category("Nl")!, Category("Pc")!)
        .Union(CodePointSet.Of([0x200C, 0x200D, 0x24B6, 0x24E9, 0x1F130, 0x1F149, 0x1F150, 0x1F169, 0x1F170, 0x1F189]));

    public static CodePointSet Numeric => Category("N")!;

    public static CodePointSet Punctuation => Category("P")!;

    public static CodePointSet AsciiPunctuation { get; } = CodePointSet.Of(['!', '/', ':', '@', '[', '`', '{', '~']);

    /// <summary>The script Han (Scripts.txt), which the runtime has no table of.</summary>
    public static CodePointSet Han { get; } = CodePointSet.Of(
    [
        0x2E80, 0x2E99, 0x2E9B, 0x2EF3, 0x2F00, 0x2FD5, 0x3005, 0x3005, 0x3007, 0x3007, 0x3021, 0x3029, 0x3038, 0x303B, 0x3400, 0x4DBF,
        0x4E00, 0x9FFF, 0xF900, 0xFA6D, 0xFA70, 0xFAD9, 0x16FE2, 0x16FE3, 0x16FF0, 0x16FF1, 0x20000, 0x2A6DF, 0x2A700, 0x2B739,
        0x2B740, 0x2B81D, 0x2B820, 0x2CEA1, 0x2CEB0, 0x2EBE0, 0x2EBF0, 0x2EE5D, 0x2F800, 0x2FA1D, 0x30000, 0x3134A, 0x31350, 0x323AF,
    ]);

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

    private static string Normalise(string name) => name.Replace("_", "").Replace(" ", "").Replace("-", "").ToLowerInvariant();

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

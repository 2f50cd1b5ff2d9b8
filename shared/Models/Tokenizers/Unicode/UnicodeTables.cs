using System.Collections.Concurrent;
using System.Globalization;

namespace Qbb.Models.Tokenizers;

/// <summary>Sets of code points that the .NET runtime has no tables of: scripts, derived properties, and older tables of the library's parts.</summary>
internal static class UnicodeTables
{
    private const string Resource = "Qbb.Models.Tokenizers.properties.txt";

    private static readonly Lazy<Dictionary<string, string>> Lines = new(ReadLines);

    private static readonly ConcurrentDictionary<string, CodePointSet> Parsed = new();

    /// <summary>Alphabetic: letters, letter numbers, and what Unicode adds to them.</summary>
    public static CodePointSet Alphabetic => UnicodeSets.Category("L")!.Union(UnicodeSets.Category("Nl")!).Union(Find("otheralphabetic")!);

    public static CodePointSet Lowercase => UnicodeSets.Category("Ll")!.Union(Find("otherlowercase")!);

    public static CodePointSet Uppercase => UnicodeSets.Category("Lu")!.Union(Find("otheruppercase")!);

    /// <summary>What the pre-tokenizers Punctuation and BertPreTokenizer cut at: ASCII marks and the category P of an older Unicode.</summary>
    public static CodePointSet Punctuation => Find("punctuation")!;

    /// <summary>What StripAccents removes: marks of all three kinds.</summary>
    public static CodePointSet CombiningMark => Find("combiningmark")!;

    /// <summary>What BertNormalizer's clean_text removes.</summary>
    public static CodePointSet BertControl => Find("bertcontrol")!;

    /// <summary>What BertNormalizer's strip_accents removes: marks without width.</summary>
    public static CodePointSet BertAccent => Find("bertaccent")!;

    /// <summary>A script by its long or short name, lower case without separators; null for an unknown name.</summary>
    public static CodePointSet? Script(string name) => Find($"script {name}");

    private static CodePointSet? Find(string name)
    {
        if (!Parsed.TryGetValue(name, out var set) && Lines.Value.TryGetValue(name, out var ranges))
            Parsed[name] = set = Parse(ranges);
        return set;
    }

    private static CodePointSet Parse(string ranges)
    {
        var bounds = new List<int>();
        foreach (var range in ranges.Split(' '))
        {
            var dash = range.IndexOf('-');
            bounds.Add(Hex(dash < 0 ? range : range[..dash]));
            bounds.Add(Hex(range[(dash + 1)..]));
        }
        return CodePointSet.Of(bounds.ToArray());
    }

    private static int Hex(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    private static Dictionary<string, string> ReadLines()
    {
        using var stream = typeof(UnicodeTables).Assembly.GetManifestResourceStream(Resource)
            ?? throw new InvalidOperationException($"the resource {Resource} is missing");
        using var reader = new StreamReader(stream);
        var lines = new Dictionary<string, string>();
        while (reader.ReadLine() is { } line)
        {
            if (line.StartsWith('#'))
                continue;
            var equals = line.IndexOf('=');
            foreach (var name in line[..equals].Split(','))
                lines.Add(name, line[(equals + 1)..]);
        }
        return lines;
    }
}

namespace Qbb.Models.Tokenizers;

/// <summary>Reads the "pre_tokenizer" of tokenizer.json.</summary>
internal static class PreTokenizerLoader
{
    private const string Known =
        "ByteLevel, Split, Digits, Metaspace, Whitespace, WhitespaceSplit, Punctuation, BertPreTokenizer, CharDelimiterSplit, FixedLength and Sequence "
        + "are supported";

    private static readonly Lazy<CodePointTester> Punctuation = new(() => new CodePointTester(UnicodeTables.Punctuation));

    /// <summary>The pre-tokenizer, and whether the model is left to map words to GPT-2's byte alphabet.</summary>
    public static (IPreTokenizer? PreTokenizer, bool MapBytes) Load(JsonField field)
    {
        var leaves = Leaves(field).ToList();
        var mapBytes = leaves.Count > 0 && leaves[^1].Type == "ByteLevel";
        IPreTokenizer[] items = [.. leaves.Select((leaf, index) => LoadLeaf(leaf, mapBytes && index == leaves.Count - 1))];
        return (items.Length switch { 0 => null, 1 => items[0], _ => new PreTokenizerSequence(items) }, mapBytes);
    }

    /// <summary>Sequences within sequences, laid out flat.</summary>
    private static IEnumerable<JsonField> Leaves(JsonField field)
    {
        if (field.IsNull)
            return [];
        return field.Type == "Sequence" ? field["pretokenizers"].Items().SelectMany(Leaves) : [field];
    }

    private static IPreTokenizer LoadLeaf(JsonField field, bool isLastByteLevel)
    {
        switch (field.Type)
        {
            case "ByteLevel":
                return new ByteLevelPreTokenizer(field["add_prefix_space"].BoolOr(true), field["use_regex"].BoolOr(true), mapBytes: !isLastByteLevel);
            case "Split":
                var (literal, pattern) = PatternLoader.Load(field["pattern"]);
                var behavior = LoadBehavior(field["behavior"]);
                var invert = field["invert"].BoolOr(false);
                return pattern != null ? new PatternSplit(pattern, behavior, invert) : new LiteralSplit(literal!, behavior, invert);
            case "Digits":
                var individually = field["individual_digits"].BoolOr(false);
                return new CodePointSplit(new CodePointTester(UnicodeSets.Numeric), individually ? SplitBehavior.Isolated : SplitBehavior.Contiguous);
            case "Metaspace":
                return new MetaspacePreTokenizer(
                    PatternLoader.LoadCharacter(field["replacement"]), LoadPrependScheme(field), field["split"].BoolOr(true));
            case "Whitespace":
                return new WordSplit();
            case "WhitespaceSplit":
                return new CodePointSplit(new CodePointTester(UnicodeSets.WhiteSpace), SplitBehavior.Removed);
            case "Punctuation":
                return new CodePointSplit(Punctuation.Value, field["behavior"].IsNull ? SplitBehavior.Isolated : LoadBehavior(field["behavior"]));
            case "BertPreTokenizer":
                return new PreTokenizerSequence(
                [
                    new CodePointSplit(new CodePointTester(UnicodeSets.WhiteSpace), SplitBehavior.Removed),
                    new CodePointSplit(Punctuation.Value, SplitBehavior.Isolated),
                ]);
            case "FixedLength":
                return new FixedLengthSplit(field["length"].IsNull ? 5 : field["length"].Int(1, int.MaxValue));
            case "CharDelimiterSplit":
                return new LiteralSplit(PatternLoader.LoadCharacter(field["delimiter"]), SplitBehavior.Removed, invert: false);
            default:
                throw field.Error($"is of the type {field.Type}, which is not supported: {Known}");
        }
    }

    private static SplitBehavior LoadBehavior(JsonField field) => field.String() switch
    {
        "Removed" => SplitBehavior.Removed,
        "Isolated" => SplitBehavior.Isolated,
        "MergedWithPrevious" => SplitBehavior.MergedWithPrevious,
        "MergedWithNext" => SplitBehavior.MergedWithNext,
        "Contiguous" => SplitBehavior.Contiguous,
        var name => throw field.Error($"is {name}: Removed, Isolated, MergedWithPrevious, MergedWithNext and Contiguous are known"),
    };

    /// <summary>"prepend_scheme", or "add_prefix_space" in older files.</summary>
    internal static PrependScheme LoadPrependScheme(JsonField field)
    {
        var scheme = field["prepend_scheme"];
        if (scheme.IsNull)
            return field["add_prefix_space"].BoolOr(true) ? PrependScheme.Always : PrependScheme.Never;
        return scheme.String() switch
        {
            "always" => PrependScheme.Always,
            "first" => PrependScheme.First,
            "never" => PrependScheme.Never,
            var name => throw scheme.Error($"is {name}: always, first and never are known"),
        };
    }
}

using System.Text.Json;

namespace Qbb.Models.Tokenizers;

/// <summary>Reads the "model" of tokenizer.json.</summary>
internal static class ModelLoader
{
    /// <summary>Sixteen times the largest vocabulary in use; a bound on the tables that ids index.</summary>
    public const int MaximumId = (1 << 22) - 1;

    /// <summary>Several times the longest in use; at every character of a text, tokens of WordPiece and Unigram are tried up to their length.</summary>
    private const int MaximumToken = 256;

    /// <summary>The kind of model. Files from before 2021 do not name it; merges tell BPE from the others.</summary>
    public static string TypeOf(JsonField field)
    {
        var type = field["type"].IsNull && !field["merges"].IsNull ? "BPE" : field["type"].StringOr("unknown");
        return type is "BPE" or "WordPiece" or "Unigram"
            ? type
            : throw field.Error($"is of the type {type}, which is not supported: only BPE, WordPiece and Unigram tokenizers can be read");
    }

    public static (WordModel Model, Dictionary<string, int> Vocabulary) Load(JsonField field, bool mapBytes) => TypeOf(field) switch
    {
        "BPE" => LoadBpe(field, mapBytes),
        "WordPiece" => LoadWordPiece(field, mapBytes),
        _ => LoadUnigram(field, mapBytes),
    };

    private static (WordModel, Dictionary<string, int>) LoadBpe(JsonField field, bool mapBytes)
    {
        if (!field["dropout"].IsNull && !(field["dropout"].Element.TryNumber(out var dropout) && dropout == 0))
            throw field["dropout"].Error("is set: it makes tokens random; set it to null");
        var options = new BpeOptions(
            field["unk_token"].IsNull ? null : field["unk_token"].String(),
            field["fuse_unk"].BoolOr(false),
            field["byte_fallback"].BoolOr(false),
            field["ignore_merges"].BoolOr(false),
            field["continuing_subword_prefix"].StringOr(""),
            field["end_of_word_suffix"].StringOr(""));
        var vocabulary = LoadVocabulary(field["vocab"]);
        var merges = LoadMerges(field["merges"], vocabulary, options.SubwordPrefix.Length);
        return (new BpeModel(options, vocabulary, merges, mapBytes), vocabulary);
    }

    private static (WordModel, Dictionary<string, int>) LoadWordPiece(JsonField field, bool mapBytes)
    {
        var vocabulary = LoadVocabulary(field["vocab"]);
        foreach (var token in vocabulary.Keys)
            CheckLength(field["vocab"], token);
        var longestWord = field["max_input_chars_per_word"];
        var model = new WordPieceModel(
            vocabulary, field["unk_token"].StringOr("[UNK]"), field["continuing_subword_prefix"].StringOr("##"),
            longestWord.IsNull ? 100 : longestWord.Int(0, int.MaxValue), mapBytes);
        return (model, vocabulary);
    }

    private static (WordModel, Dictionary<string, int>) LoadUnigram(JsonField field, bool mapBytes)
    {
        var tokens = new List<(string, double)>(field["vocab"].Count);
        var vocabulary = new Dictionary<string, int>();
        foreach (var item in field["vocab"].Items())
        {
            var parts = item.Items().ToList();
            if (parts.Count != 2 || !parts[1].Element.TryNumber(out var score) || !double.IsFinite(score))
                throw item.Error("is not a token and its score");
            CheckLength(item, parts[0].String());
            vocabulary[parts[0].String()] = tokens.Count;
            tokens.Add((parts[0].String(), score));
        }
        int? unknown = field["unk_id"].IsNull ? null : field["unk_id"].Int(0, tokens.Count - 1);
        return (new UnigramModel(tokens, unknown, field["byte_fallback"].BoolOr(false), mapBytes), vocabulary);
    }

    private static void CheckLength(JsonField field, string token)
    {
        if (token.Length > MaximumToken)
            throw field.Error($"holds a token of {token.Length} characters, more than {MaximumToken}");
    }

    private static bool TryNumber(this JsonElement element, out double number)
    {
        number = 0;
        return element.ValueKind == JsonValueKind.Number && element.TryGetDouble(out number);
    }

    private static Dictionary<string, int> LoadVocabulary(JsonField field)
    {
        var vocabulary = new Dictionary<string, int>();
        var tokens = new Dictionary<int, string>();
        foreach (var (token, value) in field.Members())
        {
            if (value.Element.ValueKind != JsonValueKind.Number || !value.Element.TryGetInt64(out var id) || id < 0 || id > MaximumId)
                throw field.Error($"gives the token \"{token}\" the id {value.Element.GetRawText()}, not a whole number in 0 … {MaximumId}");
            if (!tokens.TryAdd((int)id, token))
                throw field.Error($"gives the tokens \"{tokens[(int)id]}\" and \"{token}\" the same id {id}");
            vocabulary.Add(token, (int)id);
        }
        return vocabulary;
    }

    private static MergeTable LoadMerges(JsonField field, Dictionary<string, int> vocabulary, int prefixLength)
    {
        var merges = new List<(int, int, int)>(field.Count);
        foreach (var item in field.Items())
        {
            var (left, right) = LoadPair(item);
            if (right.Length < prefixLength)
                throw item.Error($"merges \"{right}\", which is shorter than the model's continuing_subword_prefix");
            merges.Add((IdOf(left), IdOf(right), IdOf(string.Concat(left, right.AsSpan(prefixLength)))));

            int IdOf(string token) =>
                vocabulary.TryGetValue(token, out var id) ? id : throw item.Error($"names the token \"{token}\", which is not in the vocabulary");
        }
        return new MergeTable(merges);
    }

    /// <summary>A merge is "a b" or ["a", "b"]; the second form can hold tokens with spaces.</summary>
    private static (string Left, string Right) LoadPair(JsonField field)
    {
        if (field.Element.ValueKind == JsonValueKind.String)
        {
            var text = field.String();
            var space = text.IndexOf(' ');
            if (space <= 0 || space == text.Length - 1 || text.IndexOf(' ', space + 1) >= 0)
                throw field.Error($"is \"{text}\", not two tokens with a space between them");
            return (text[..space], text[(space + 1)..]);
        }
        var parts = field.Items().ToList();
        return parts.Count == 2 ? (parts[0].String(), parts[1].String()) : throw field.Error("is not a pair of tokens");
    }
}

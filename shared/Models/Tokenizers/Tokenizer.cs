using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Models.Tokenizers;

/// <summary>
/// A tokenizer as Hugging Face's tokenizer.json describes it: added tokens, normalizer, pre-tokenizer, model (BPE,
/// WordPiece or Unigram), post-processor, decoder. Gives the ids and texts that the library `tokenizers` gives. Thread-safe.
/// </summary>
public sealed class Tokenizer
{
    private const long MaximumFileSize = 1L << 29;

    private readonly TokenizerParts parts;
    private readonly byte[] json;
    private readonly Lazy<bool> isByteLevel;

    private Tokenizer(byte[] json, string source)
    {
        this.json = json;
        parts = TokenizerLoader.Load(json, source);
        isByteLevel = new(() => parts.Decoder?.Decode([ByteAlphabet.Encode(" ")]) is [" "]);
        SpecialIds = [.. parts.Added.Tokens.Where(token => token.Special).Select(token => token.Id).Order()];
    }

    /// <summary>The largest id and one more: the rows that an embedding needs.</summary>
    public int VocabularySize => parts.Tokens.Count;

    /// <summary>Id of the token that is put before every text; null where the tokenizer puts none.</summary>
    public int? BeginOfSequence => parts.Template.Before.Count > 0 ? parts.Template.Before[0] : null;

    /// <summary>Id of the token that is put behind every text; null where the tokenizer puts none.</summary>
    public int? EndOfSequence => parts.Template.After.Count > 0 ? parts.Template.After[^1] : null;

    /// <summary>Ids of the special tokens, in rising order.</summary>
    public IReadOnlyList<int> SpecialIds { get; }

    /// <summary>SHA-256 of the tokenizer.json as it was read: 64 lower-case hexadecimal digits.</summary>
    public string Digest => Convert.ToHexStringLower(SHA256.HashData(json));

    /// <summary>Reads a tokenizer.json.</summary>
    /// <exception cref="InvalidInputException">The file cannot be read, is malformed, or uses a component that is not supported.</exception>
    public static Tokenizer FromFile(string tokenizerJsonPath)
    {
        try
        {
            if (new FileInfo(tokenizerJsonPath) is { Exists: true, Length: > MaximumFileSize })
                throw new InvalidInputException($"{tokenizerJsonPath}: larger than {MaximumFileSize >> 20} MiB, which no tokenizer.json is");
            return new Tokenizer(File.ReadAllBytes(tokenizerJsonPath), tokenizerJsonPath);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{tokenizerJsonPath}: the tokenizer cannot be read: {error.Message}", error);
        }
    }

    /// <summary>Reads the text of a tokenizer.json from a stream.</summary>
    /// <exception cref="InvalidInputException">The text is malformed or uses a component that is not supported.</exception>
    public static Tokenizer FromJson(Stream stream, string sourceName)
    {
        using var buffer = new MemoryStream();
        stream.CopyTo(buffer);
        return new Tokenizer(buffer.ToArray(), sourceName);
    }

    /// <summary>Reads a tokenizer.json that is already in memory.</summary>
    /// <exception cref="InvalidInputException">The object is malformed or uses a component that is not supported.</exception>
    public static Tokenizer FromJson(JsonNode node, string sourceName) =>
        new(JsonSerializer.SerializeToUtf8Bytes(node, TokenizerJsonFormat.Options), sourceName);

    /// <summary>The ids of a text.</summary>
    /// <param name="text">Any text; half surrogate pairs count as U+FFFD.</param>
    /// <param name="addSpecialTokens">Whether to put the tokens around it that the tokenizer asks for, such as a begin-of-sequence.</param>
    public int[] Encode(string text, bool addSpecialTokens = true)
    {
        var ids = new List<int>(text.Length / 3 + 4);
        if (addSpecialTokens)
            ids.AddRange(parts.Template.Before);
        var words = new List<TextPiece>();
        foreach (var piece in parts.Added.Split(WellFormed(text)))
        {
            if (piece.IsToken)
            {
                ids.Add(piece.Id);
                continue;
            }
            words.Clear();
            if (parts.PreTokenizer == null)
                words.Add(piece);
            else
                parts.PreTokenizer.Split(piece, words);
            foreach (var word in words)
                parts.Model.Encode(word.Span, ids);
        }
        if (addSpecialTokens)
            ids.AddRange(parts.Template.After);
        return [.. ids];
    }

    /// <summary>The text of some ids. Ids without a token are left out.</summary>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = false)
    {
        var tokens = new List<string>(ids.Length);
        foreach (var id in ids)
        {
            var token = parts.Added.TextOf(id) ?? IdToToken(id);
            if (token != null && !(skipSpecialTokens && parts.Added.IsSpecial(id)))
                tokens.Add(token);
        }
        return parts.Decoder == null ? string.Join(' ', tokens) : string.Concat(parts.Decoder.Decode(tokens));
    }

    /// <inheritdoc cref="Decode(ReadOnlySpan{int}, bool)"/>
    public string Decode(IEnumerable<int> ids, bool skipSpecialTokens = false) => Decode(ids.ToArray().AsSpan(), skipSpecialTokens);

    /// <summary>The token of an id as the vocabulary spells it (bytes in GPT-2's alphabet, ▁ for a space); null if there is none.</summary>
    public string? IdToToken(int id) => id >= 0 && id < parts.Tokens.Count ? parts.Tokens[id] : null;

    /// <summary>The id of a token as the vocabulary spells it; null if there is none.</summary>
    public int? TokenToId(string token) => parts.Ids.TryGetValue(token, out var id) ? id : null;

    /// <summary>The bytes of text that a token stands for, a part of a character at times; empty if there is no such token.</summary>
    public byte[] BytesOf(int id)
    {
        if ((parts.Added.TextOf(id) ?? IdToToken(id)) is not { } token)
            return [];
        if (isByteLevel.Value)
            return ByteLevelDecoder.BytesOf(token);
        if (ByteFallbackDecoder.TryParse(token, out var value))
            return [value];
        // Behind another token: some decoders take the space from the first.
        var (alone, both) = (Decoded("a"), Decoded("a", token));
        return Encoding.UTF8.GetBytes(both.StartsWith(alone, StringComparison.Ordinal) ? both[alone.Length..] : Decoded(token));

        string Decoded(params string[] tokens) => parts.Decoder == null ? string.Join(' ', tokens) : string.Concat(parts.Decoder.Decode([.. tokens]));
    }

    /// <summary>The whole tokenizer.json, as it was read.</summary>
    public JsonObject ToJson() => JsonNode.Parse(json)!.AsObject();

    /// <summary>Writes the tokenizer.json, byte for byte as it was read.</summary>
    public void Save(string path) => File.WriteAllBytes(path, json);

    private static string WellFormed(string text)
    {
        for (var i = 0; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
                continue;
            if (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1]))
                return Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
            i++;
        }
        return text;
    }
}

namespace Qbb.Models.Tokenizers;

/// <summary>The stages of a tokenizer as read from tokenizer.json.</summary>
internal sealed record TokenizerParts(
    AddedVocabulary Added,
    IPreTokenizer? PreTokenizer,
    WordModel Model,
    SequenceTemplate Template,
    IDecoder? Decoder,
    IReadOnlyDictionary<string, int> Ids,
    IReadOnlyList<string?> Tokens);

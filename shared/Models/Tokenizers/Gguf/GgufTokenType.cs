namespace Qbb.Models.Tokenizers;

/// <summary>tokenizer.ggml.token_type, as llama.cpp numbers it.</summary>
internal enum GgufTokenType
{
    Undefined = 0,
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

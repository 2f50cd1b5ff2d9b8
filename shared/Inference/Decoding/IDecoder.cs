using Qbb.Models.Decoder;

namespace Qbb.Inference.Decoding;

/// <summary>A model that continues several sequences in one pass, each with a cache of its own. One caller at a time.</summary>
public interface IDecoder : IDisposable
{
    DecoderConfig Config { get; }

    /// <summary>A sequence without tokens.</summary>
    IDecoderSequence Begin();

    /// <summary>Appends tokens to sequences and predicts what follows each.</summary>
    /// <param name="inputs">Different sequences of this decoder, at least one token each.</param>
    /// <param name="logits">[inputs, vocabulary]: after the last token of each input.</param>
    /// <exception cref="InvalidInputException">A token is outside the vocabulary, or a sequence has more tokens than the model has positions.</exception>
    void Step(IReadOnlyList<DecoderInput> inputs, Span<float> logits);
}

/// <summary>Tokens whose keys and values a decoder keeps.</summary>
public interface IDecoderSequence : IDisposable
{
    /// <summary>Tokens so far.</summary>
    int Length { get; }

    /// <summary>Forgets the tokens from a length on.</summary>
    void Truncate(int length);

    /// <summary>Another sequence with the same tokens; full pages of the cache are shared.</summary>
    IDecoderSequence Fork();
}

/// <param name="Sequence">What the tokens are appended to.</param>
/// <param name="Tokens">At least one.</param>
public readonly record struct DecoderInput(IDecoderSequence Sequence, ReadOnlyMemory<int> Tokens);

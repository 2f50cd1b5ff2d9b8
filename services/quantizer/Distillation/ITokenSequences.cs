namespace Qbb.Quantizer.Distillation;

/// <summary>Sequences of tokens to distil on. Reading the same index gives the same tokens each time.</summary>
public interface ITokenSequences
{
    int Count { get; }

    /// <summary>Tokens of one sequence, at least 2.</summary>
    int LengthOf(int index);

    /// <summary>Writes the tokens of one sequence.</summary>
    /// <param name="index">Which.</param>
    /// <param name="ids">As many as <see cref="LengthOf"/> says.</param>
    void Read(int index, Span<int> ids);

    /// <summary>Identity of all tokens: lower-case hexadecimal SHA-256.</summary>
    string Digest { get; }

    /// <summary>Digest of the model that sampled them; null for text.</summary>
    string? TeacherDigest { get; }
}

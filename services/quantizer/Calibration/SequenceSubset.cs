using Qbb.Quantizer.Distillation;

namespace Qbb.Quantizer.Calibration;

/// <summary>Some sequences of others.</summary>
internal sealed class SequenceSubset(ITokenSequences all, int[] indices) : ITokenSequences
{
    public int Count => indices.Length;

    public string Digest => $"{all.Digest}/{string.Join(',', indices)}";

    public string? TeacherDigest => all.TeacherDigest;

    public int LengthOf(int index) => all.LengthOf(indices[index]);

    public void Read(int index, Span<int> ids) => all.Read(indices[index], ids);
}

using Qbb.Quantizer.Distillation;

namespace Qbb.Cli.Benchmarks;

/// <summary>Random tokens of one length.</summary>
internal sealed class RandomSequences(int count, int length, int vocabulary) : ITokenSequences
{
    public int Count => count;

    public string Digest => "";

    public string? TeacherDigest => null;

    public int LengthOf(int index) => length;

    public void Read(int index, Span<int> ids)
    {
        var random = new Random(index);
        foreach (ref var id in ids)
            id = random.Next(vocabulary);
    }
}

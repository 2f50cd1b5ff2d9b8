using Qbb.Workers.Data;

namespace Qbb.Quantizer.Calibration;

/// <summary>
/// Sampled data as sequences to calibrate and distil on; those that ended at their first token have nothing to learn from and are passed over.
/// </summary>
/// <param name="data">Taken over.</param>
public sealed class SampledSequences(SampledTokens data) : ITokenSequences, IDisposable
{
    private readonly int[] _indices = [.. Enumerable.Range(0, data.Count).Where(index => data.LengthOf(index) >= 2)];

    public int Count => _indices.Length;

    public string Digest => data.Digest;

    public string TeacherDigest => data.TeacherDigest;

    public int LengthOf(int index) => data.LengthOf(_indices[index]);

    public void Read(int index, Span<int> ids) => data.Read(_indices[index], ids);

    public void Dispose() => data.Dispose();
}

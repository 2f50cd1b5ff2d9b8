using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Synthdata.Data;

namespace Qbb.Cli.Loading;

/// <summary>Sampled data as sequences to distil on; those that ended at their first token have nothing to learn from and are passed over.</summary>
internal sealed class SampledSequences : ITokenSequences, IDisposable
{
    private readonly SampledData _data;
    private readonly int[] _indices;

    private SampledSequences(SampledData data)
    {
        _data = data;
        _indices = [.. Enumerable.Range(0, data.Count).Where(index => data.LengthOf(index) >= 2)];
    }

    public int Count => _indices.Length;

    public string Digest => _data.Digest;

    public string TeacherDigest => _data.Manifest.Origin.Teacher;

    /// <exception cref="InvalidInputException">The folder holds no finished data, or they are damaged.</exception>
    public static SampledSequences Open(string folder, CancellationToken cancel) => new(SampledData.Open(folder, cancel));

    public int LengthOf(int index) => _data.LengthOf(_indices[index]);

    public void Read(int index, Span<int> ids) => _data.Read(_indices[index], ids);

    public void Dispose() => _data.Dispose();
}

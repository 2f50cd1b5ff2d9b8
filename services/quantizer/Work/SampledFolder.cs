using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Workers.Data;

namespace Qbb.Quantizer.Work;

/// <summary>Sampled data as sequences to calibrate and distil on; those of a single token have nothing to learn from and are passed over.</summary>
internal sealed class SampledFolder : ITokenSequences, IDisposable
{
    private readonly SampledTokens _tokens;
    private readonly int[] _rows;

    private SampledFolder(SampledTokens tokens)
    {
        _tokens = tokens;
        _rows = [.. Enumerable.Range(0, tokens.Count).Where(row => tokens.LengthOf(row) >= 2)];
    }

    public int Count => _rows.Length;

    public string Digest => _tokens.Digest;

    public string? TeacherDigest => _tokens.TeacherDigest;

    public static SampledFolder Open(string folder, CancellationToken cancellation) => new(SampledTokens.Open(folder, cancellation));

    public int LengthOf(int index) => _tokens.LengthOf(_rows[index]);

    public void Read(int index, Span<int> ids) => _tokens.Read(_rows[index], ids);

    public void Dispose() => _tokens.Dispose();
}

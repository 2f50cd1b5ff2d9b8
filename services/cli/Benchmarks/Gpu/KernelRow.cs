namespace Qbb.Cli.Benchmarks.Gpu;

/// <summary>One measured product.</summary>
/// <param name="InFeatures">Columns of the weight.</param>
/// <param name="OutFeatures">Rows of the weight.</param>
/// <param name="Batch">Tokens.</param>
/// <param name="Kernel">What was run.</param>
/// <param name="Bases">N; 0 for a dense weight.</param>
/// <param name="Seconds">Median of one product.</param>
/// <param name="Bytes">What it must read of the weight.</param>
/// <param name="Dense">Seconds of cuBLAS fp16 on the same shape in the same run.</param>
/// <param name="CopyBytesPerSecond">Copy bandwidth (read and write together) in the same run.</param>
internal sealed record KernelRow(
    int InFeatures, int OutFeatures, int Batch, string Kernel, int Bases, double Seconds, long Bytes, double Dense, double CopyBytesPerSecond)
{
    public double Speedup => Dense / Seconds;

    public double BytesPerSecond => Bytes / Seconds;

    public double ShareOfCopy => BytesPerSecond / CopyBytesPerSecond;
}

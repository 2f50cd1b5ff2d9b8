namespace Qbb.Quantizer.Decomposition;

/// <summary>What one row adds to a layer's report. Rows are added in order, so sums do not depend on threads.</summary>
internal sealed class RowTally(int bases)
{
    public double Norm { get; set; }

    public long Subnormal { get; set; }

    public double[] Errors { get; } = new double[bases];

    public double[] InitErrors { get; } = new double[bases];

    public long[] Flips { get; } = new long[bases];
}

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>What one row adds to a layer's report. Rows are added in order, so sums do not depend on threads.</summary>
internal sealed class RowTally(int bases)
{
    public double Norm { get; set; }

    public long Subnormal { get; set; }

    public double[] Errors { get; } = new double[bases];

    public double[] InitErrors { get; } = new double[bases];

    public long[] Flips { get; } = new long[bases];

    /// <summary>The report of a layer from the tallies of its rows.</summary>
    public static LayerReport Report(LayerWeights weights, double effectiveBits, int bases, RowTally[] tallies, double seconds)
    {
        var norm = tallies.Sum(tally => tally.Norm);
        var elements = (double)weights.OutFeatures * weights.InFeatures;
        return new LayerReport(
            weights.Name,
            weights.OutFeatures,
            weights.InFeatures,
            effectiveBits,
            norm,
            tallies.Sum(tally => tally.Errors[^1]),
            PerBasis(basis => LayerReport.Relative(tallies.Sum(tally => tally.Errors[basis]), norm)),
            PerBasis(basis => LayerReport.Relative(tallies.Sum(tally => tally.InitErrors[basis]), norm)),
            PerBasis(basis => tallies.Sum(tally => tally.Flips[basis]) / elements),
            tallies.Sum(tally => tally.Subnormal),
            seconds);

        double[] PerBasis(Func<int, double> value) => Enumerable.Range(0, bases).Select(value).ToArray();
    }
}

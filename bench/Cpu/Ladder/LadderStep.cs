using Qbb.Bases;

namespace Qbb.Bench.Cpu.Ladder;

/// <summary>
/// A way to multiply one token on one thread that was tried and not taken, kept so that docs/kernels.md can be measured again. Groups
/// must be of 128 columns, with a bias plane, and rows come in multiples of 32.
/// </summary>
internal abstract unsafe class LadderStep(BinaryBases bases)
{
    public const int Group = 128;
    protected const int WordsPerGroup = Group / 32;

    protected BinaryBases Bases => bases;

    /// <summary>Rows of the weight.</summary>
    public int Rows => bases.OutFeatures;

    public abstract string Name { get; }

    /// <summary>Bytes of weights that a product reads.</summary>
    public abstract long Bytes { get; }

    /// <summary>y = Ŵx.</summary>
    /// <param name="x">[in]</param>
    /// <param name="y">[out]</param>
    public abstract void Multiply(float* x, float* y);

    /// <summary>Sums of the groups of x.</summary>
    protected float[] GroupSums(float* x)
    {
        var sums = new float[bases.Groups];
        for (var column = 0; column < bases.InFeatures; column++)
            sums[column / Group] += x[column];
        return sums;
    }

    /// <summary>All scales as floats, [out, groups, N + 1], β last: a row reads them one after the other.</summary>
    protected static float[] RowScales(BinaryBases bases)
    {
        var scales = new float[bases.OutFeatures * bases.Groups * (bases.Count + 1)];
        for (var row = 0; row < bases.OutFeatures; row++)
        {
            for (var group = 0; group < bases.Groups; group++)
            {
                var to = scales.AsSpan((row * bases.Groups + group) * (bases.Count + 1));
                for (var basis = 0; basis < bases.Count; basis++)
                    to[basis] = (float)bases.Scale(basis, row, group);
                to[bases.Count] = (float)bases.Bias(row, group);
            }
        }
        return scales;
    }
}

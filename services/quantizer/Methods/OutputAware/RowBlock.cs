using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.Grids;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// Some rows of a layer on their way through the steps: signs and scales as they would be stored, and the errors that follow from them.
/// </summary>
internal sealed class RowBlock
{
    /// <param name="capacity">The most rows.</param>
    /// <param name="features">in.</param>
    /// <param name="groupSize">Columns that share a scale; at most in.</param>
    /// <param name="bases">N.</param>
    /// <param name="bias">Whether groups have a bias.</param>
    /// <param name="grid">What the levels are restricted to; null for free ones.</param>
    public RowBlock(int capacity, int features, int groupSize, int bases, bool bias, LevelGrid? grid = null)
    {
        (Features, GroupSize, Bases, HasBias, Grid) = (features, groupSize, bases, bias, grid);
        Groups = (features - 1) / groupSize + 1;
        Codes = new byte[capacity * features];
        Alpha = new double[capacity * Groups * bases];
        Beta = new double[capacity * Groups];
        Error = new double[capacity * features];
        Gradient = new double[capacity * features];
        Objective = new double[capacity];
        Levels = new LevelTable(capacity, Groups, bases, grid);
    }

    /// <summary>Rows at hand.</summary>
    public int Rows { get; set; }

    public int Features { get; }

    public int GroupSize { get; }

    public int Groups { get; }

    public int Bases { get; }

    public bool HasBias { get; }

    /// <summary>What the levels are restricted to; null for free ones.</summary>
    public LevelGrid? Grid { get; }

    /// <summary>Numbers of one group that decide its levels.</summary>
    public int Unknowns => Grid?.Unknowns ?? Bases + (HasBias ? 1 : 0);

    /// <summary>Signs [rows, in]: bit i of a code is that of basis i.</summary>
    public byte[] Codes { get; }

    /// <summary>Scales [rows, groups, N], numbers of fp16; signs of a grid's steps included.</summary>
    public double[] Alpha { get; }

    /// <summary>Biases [rows, groups], numbers of fp16 (on a grid with free minima, of fp32); 0 without.</summary>
    public double[] Beta { get; }

    /// <summary>e = w − ŵ, [rows, in].</summary>
    public double[] Error { get; }

    /// <summary>eH, [rows, in]: half the gradient of the objective.</summary>
    public double[] Gradient { get; }

    /// <summary>eHeᵀ [rows].</summary>
    public double[] Objective { get; }

    /// <summary>The levels of all groups, as of the last <see cref="Measure"/> or <see cref="UpdateLevels"/>.</summary>
    public LevelTable Levels { get; }

    /// <summary>Scales [N] of one group.</summary>
    public Span<double> AlphaOf(int row, int group) => Alpha.AsSpan((row * Groups + group) * Bases, Bases);

    /// <summary>Columns of one group.</summary>
    public (int First, int Length) ColumnsOf(int group) => (group * GroupSize, Math.Min(GroupSize, Features - group * GroupSize));

    /// <summary>Brings <see cref="Levels"/> up to the scales.</summary>
    public void UpdateLevels()
    {
        for (var row = 0; row < Rows; row++)
        {
            for (var group = 0; group < Groups; group++)
                Levels.Set(row, group, AlphaOf(row, group), Beta[row * Groups + group]);
        }
    }

    /// <summary>Errors, gradients and objectives of the signs and scales as they are.</summary>
    /// <param name="weights">[rows, in]</param>
    /// <param name="matrix">H [in, in].</param>
    public void Measure(double[] weights, double[] matrix)
    {
        UpdateLevels();
        Span<double> levels = stackalloc double[1 << Bases];
        for (var row = 0; row < Rows; row++)
        {
            for (var group = 0; group < Groups; group++)
            {
                GroupFit.Levels(AlphaOf(row, group), Beta[row * Groups + group], levels);
                var (first, length) = ColumnsOf(group);
                for (var place = row * Features + first; length > 0; length--, place++)
                    Error[place] = weights[place] - levels[Codes[place]];
            }
        }
        Gradient.AsSpan(0, Rows * Features).Clear();
        BlockProduct.Add(Error, Features, Rows, Features, matrix, Features, Features, Gradient, Features);
        MeasureObjective();
    }

    /// <summary>Objectives from errors and gradients that are up to date.</summary>
    public void MeasureObjective()
    {
        for (var row = 0; row < Rows; row++)
            Objective[row] = BlockProduct.Dot(Error.AsSpan(row * Features, Features), Gradient.AsSpan(row * Features, Features));
    }

    /// <summary>Takes rows over from a block of the same shape whose objective is lower there.</summary>
    public void TakeBetter(RowBlock other) => Take(other, row => other.Objective[row] < Objective[row]);

    /// <summary>Copies rows from a block of the same shape: all, or the selected ones.</summary>
    public void Take(RowBlock other, Func<int, bool>? wanted = null)
    {
        Rows = other.Rows;
        for (var row = 0; row < Rows; row++)
        {
            if (wanted?.Invoke(row) == false)
                continue;
            Copy(other.Codes, Codes, row, Features);
            Copy(other.Alpha, Alpha, row, Groups * Bases);
            Copy(other.Beta, Beta, row, Groups);
            Copy(other.Error, Error, row, Features);
            Copy(other.Gradient, Gradient, row, Features);
            Objective[row] = other.Objective[row];
        }
        UpdateLevels();
    }

    private static void Copy<T>(T[] from, T[] to, int row, int length) => from.AsSpan(row * length, length).CopyTo(to.AsSpan(row * length));
}

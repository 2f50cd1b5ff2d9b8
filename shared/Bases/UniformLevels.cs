namespace Qbb.Bases;

/// <summary>
/// Reads the groups of a weight as minimum + step·q, where they are such: on a grid always, else where the larger scales are multiples of the smallest.
/// </summary>
/// <param name="bases">The weight.</param>
public sealed class UniformLevels(BinaryBases bases)
{
    private readonly int[] _counts = new int[bases.Count];
    private readonly bool[] _negative = new bool[bases.Count];

    /// <summary>Between neighbouring levels; 0 where all are one. May be negative on a grid.</summary>
    public double Step { get; private set; }

    /// <summary>The level of q = 0.</summary>
    public double Minimum { get; private set; }

    /// <summary>The largest q.</summary>
    public int Most { get; private set; }

    /// <summary>Looks at one group; false where its levels are not uniform.</summary>
    public bool TryRead(int row, int group)
    {
        if (bases.Steps is { } steps)
        {
            for (var basis = 0; basis < _counts.Length; basis++)
                _counts[basis] = 1 << (_counts.Length - 1 - basis);
            var place = row * bases.Groups + group;
            Step = (double)steps[place] * bases.Factor;
            Minimum = bases.Zeros is { } zeros ? -(double)zeros[place] * Step : bases.Minima is { } minima ? (double)minima[place] * bases.Factor : bases.Lowest!.Value * Step;
            Most = (1 << _counts.Length) - 1;
            return true;
        }
        var (smallest, sum) = (double.PositiveInfinity, 0.0);
        for (var basis = 0; basis < _counts.Length; basis++)
        {
            var scale = (double)bases.Scale(basis, row, group);
            _negative[basis] = scale < 0;
            sum += Math.Abs(scale);
            if (scale != 0)
                smallest = Math.Min(smallest, Math.Abs(scale));
        }
        Minimum = (bases.Bias(row, group) - sum) * bases.Factor;
        (Step, Most) = (sum == 0 ? 0 : 2 * smallest * bases.Factor, 0);
        for (var basis = 0; basis < _counts.Length; basis++)
        {
            var count = sum == 0 ? 0 : Math.Abs((double)bases.Scale(basis, row, group)) / smallest;
            if (count != Math.Floor(count) || count > byte.MaxValue)
                return false;
            Most += _counts[basis] = (int)count;
        }
        return true;
    }

    /// <summary>The q of columns [column, column + levels.Length) of a row, all of the group that was read last.</summary>
    public void Levels(int row, int column, Span<int> levels)
    {
        levels.Clear();
        for (var basis = 0; basis < _counts.Length; basis++)
        {
            var signs = bases.Row(basis, row);
            for (var j = 0; j < levels.Length; j++)
            {
                if (SignPacking.IsPositive(signs, column + j) != _negative[basis])
                    levels[j] += _counts[basis];
            }
        }
    }
}

using Qbb.Bases;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.Grids;

/// <summary>What decides the levels of one group on a grid.</summary>
/// <param name="Step">Between neighbouring levels; may be negative.</param>
/// <param name="Minimum">The level of q = 0.</param>
internal readonly record struct GridScales(double Step, double Minimum)
{
    public double Level(int q) => Minimum + Step * q;

    /// <summary>Both changed: [1] for the step alone, or [2].</summary>
    public GridScales Plus(ReadOnlySpan<double> change) => new(Step + change[0], Minimum + (change.Length > 1 ? change[1] : 0));
}

/// <summary>
/// The levels of a target, minimum + q·step for q = 0 … 2^N − 1, as scales of binary bases: basis i is bit N − 1 − i of q, so
/// α_i = 2^(N − 2 − i)·step and β = minimum + (2^N − 1)/2·step. With a minimum of a fixed number of steps ŵ = step·(q + lowest): one unknown a
/// group, else two.
/// </summary>
internal sealed class LevelGrid
{
    private readonly int _bases;
    private readonly int? _lowest;
    private readonly ZeroRange? _zeros;
    private readonly int _least;
    private readonly byte[] _reversed;

    private LevelGrid(Target target)
    {
        (_bases, _lowest, _zeros, _least) = (target.Bases, target.Minimum.InSteps, target.Minimum.Zeros, target.LeastLevel);
        _reversed = new byte[1 << _bases];
        for (var code = 0; code < _reversed.Length; code++)
        {
            for (var bit = 0; bit < _bases; bit++)
                _reversed[code] |= (byte)((code >> bit & 1) << (_bases - 1 - bit));
        }
    }

    /// <summary>The grid of a recipe; null for free levels.</summary>
    public static LevelGrid? Of(Recipe recipe) => recipe.IsOnGrid ? new(recipe.Target!.At(recipe)) : null;

    /// <summary>Numbers that decide a group's levels and are solved for. A whole zero point is not: rounding it would undo what was solved.</summary>
    public int Unknowns => _lowest is null && !HasWholeZeros ? 2 : 1;

    /// <summary>Whether the minimum is −zero·step.</summary>
    public bool HasZeros => _zeros is not null;

    /// <summary>The same with a whole zero point.</summary>
    public bool HasWholeZeros => _zeros is { Parts: 1 };

    /// <summary>Whether every group has a minimum of its own.</summary>
    public bool IsFree => _lowest is null;

    /// <summary>The lowest level in steps, of a minimum that is not free.</summary>
    public int Lowest => _lowest ?? 0;

    /// <summary>The lowest q that is used.</summary>
    public int LeastLevel => _least;

    /// <summary>2^N − 1.</summary>
    public int MostLevel => _reversed.Length - 1;

    private double Middle => MostLevel / 2.0;

    /// <summary>What a step counts in the value of a code.</summary>
    public double Coefficient(byte code, GridScales scales) => HasWholeZeros ? QOf(code) - ZeroOf(scales) : QOf(code) + Lowest;

    /// <summary>The nearest zero point that there is; where all levels are one, any.</summary>
    public double ZeroOf(GridScales scales) => scales.Step == 0 ? 1 << (_bases - 1)
        : Math.Clamp(Math.Round(-scales.Minimum / scales.Step * _zeros!.Parts) / _zeros.Parts, _zeros.Least, _zeros.Most);

    /// <summary>The scales with the minimum on the lattice of zero points, where there is one.</summary>
    public GridScales Snap(GridScales scales) => _zeros is null ? scales : new(scales.Step, -ZeroOf(scales) * scales.Step);

    /// <summary>The scales after a change of the unknowns: [1] for the step, or [2].</summary>
    public GridScales Changed(GridScales scales, ReadOnlySpan<double> change) =>
        HasWholeZeros ? new(scales.Step + change[0], -ZeroOf(scales) * (scales.Step + change[0])) : scales.Plus(change);

    /// <summary>The code of a q.</summary>
    public byte CodeOf(int q) => _reversed[q];

    /// <summary>The q of a code.</summary>
    public int QOf(byte code) => _reversed[code];

    /// <summary>The q of the nearest level; of two equally near ones the larger q.</summary>
    public int Nearest(GridScales scales, double value)
    {
        var q = scales.Step == 0 ? -Lowest : Math.Floor((value - scales.Minimum) / scales.Step + 0.5);
        // The least of what is not a number is the least level.
        return q >= _least ? (int)Math.Min(q, MostLevel) : _least;
    }

    /// <summary>Step and minimum behind scales and bias, exactly.</summary>
    public GridScales Read(ReadOnlySpan<double> alpha, double beta)
    {
        var step = 2 * alpha[^1];
        return _lowest is { } lowest ? new(step, lowest * step) : Snap(new(step, beta - Middle * step));
    }

    /// <summary>Rounds step and minimum as they are stored, and gives scales [N] and bias.</summary>
    public void Write(GridScales scales, Span<double> alpha, out double beta)
    {
        var (step, minimum) = Round(scales);
        for (var basis = 0; basis < alpha.Length; basis++)
            alpha[basis] = Math.ScaleB(step, _bases - 2 - basis);
        beta = minimum + Middle * step;
    }

    /// <summary>
    /// The numbers of fp16 that are stored. The step is twice a number of fp16, so that all scales are such numbers. A free minimum is a multiple
    /// of that half step's last place and less than 2^12 steps, which costs less than a 4000th of a step: then every level, and every sum of scales and bias on
    /// the way to it, is a number of fp32, and whoever adds up in whatever order gets the same weight.
    /// </summary>
    public GridScales Round(GridScales scales)
    {
        var step = RoundStep(scales.Step);
        return _lowest is { } lowest ? new(step, lowest * step) : _zeros is not null ? Snap(new(step, scales.Minimum)) : RoundFree(scales);
    }

    /// <summary>Twice a number of fp16.</summary>
    public static double RoundStep(double step) => 2 * (double)(Half)(step / 2);

    /// <summary>The same of a grid with free minima.</summary>
    public static GridScales RoundFree(GridScales scales)
    {
        var step = RoundStep(scales.Step);
        if (step == 0)
            return new(0, (double)(Half)scales.Minimum);
        if (Math.Abs(scales.Minimum) > Math.ScaleB(1, 12 + Math.ILogB(step)))
            step = Math.CopySign(Math.ScaleB(1, Math.ILogB(scales.Minimum) - 11), step);
        var place = Math.ScaleB(1, Math.Max(Math.ILogB(step) - 11, -24));
        return new(step, (double)(Half)(Math.Round(scales.Minimum / place) * place));
    }

    /// <summary>A layer from its planes, scales [N, out, groups] and biases [out, groups].</summary>
    public BinaryBases ToBases(int rows, int columns, int group, uint[] planes, Half[] alpha, float[] beta)
    {
        var last = alpha.AsSpan((_bases - 1) * beta.Length);
        var (steps, minima) = (new Half[beta.Length], IsFree ? new Half[beta.Length] : null);
        for (var place = 0; place < beta.Length; place++)
        {
            var scales = Read([(double)last[place]], beta[place]);
            steps[place] = (Half)scales.Step;
            if (minima is not null)
                minima[place] = (Half)(_zeros is null ? scales.Minimum : ZeroOf(scales));
        }
        return BinaryBases.OnGrid(_bases, rows, columns, group, planes, steps, _lowest, _zeros is null ? minima : null, _zeros is null ? null : minima);
    }
}

using Qbb.Bases;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

/// <summary>How the levels of a weight lie on the grid of a target.</summary>
internal static class GgufLevels
{
    /// <summary>Whether all groups do.</summary>
    public static bool Fits(BinaryBases bases, Target target)
    {
        if (bases.InFeatures % target.Group != 0 || bases.GroupSize % target.Group != 0 && bases.GroupSize != bases.InFeatures)
            return false;
        var levels = new UniformLevels(bases);
        for (var row = 0; row < bases.OutFeatures; row++)
        {
            for (var group = 0; group < bases.Groups; group++)
            {
                if (!levels.TryRead(row, group) || Fit(levels, target) is null)
                    return false;
            }
        }
        return true;
    }

    /// <summary>How the levels of a group lie on a target's grid: its step and minimum, and q there = first + sign·q here. Null where they do not.</summary>
    public static (Half Step, Half Minimum, int First, int Sign)? Fit(UniformLevels levels, Target target)
    {
        var (step, minimum, most) = (levels.Step, levels.Minimum, (1 << target.Bases) - 1);
        if (target.Minimum.IsFree)
            return levels.Most <= most && IsHalf(step) && IsHalf(minimum) ? ((Half)step, (Half)minimum, 0, 1) : null;
        if (target.Minimum == GridMinimum.Symmetric)
            return levels.Most <= 1 && minimum == -step / 2 && IsHalf(step / 2) ? ((Half)(step / 2), default, 0, 1) : null;
        var lowest = target.Minimum.InSteps!.Value;
        if (step == 0)
            return minimum == 0 ? (default, default, -lowest, 0) : null;
        var offset = minimum / step;
        if (offset != Math.Floor(offset) || !IsHalf(step) || Math.Abs(offset) > 1 << target.Bases)
            return null;
        // Either way round: a step may be negative.
        foreach (var sign in new[] { 1, -1 })
        {
            var (first, last) = (sign * (int)offset - lowest, sign * ((int)offset + levels.Most) - lowest);
            // The levels below the least are those that nothing uses.
            if (Math.Max(first, last) <= most && Math.Min(first, last) >= 0)
                return ((Half)(sign * step), default, first, sign);
        }
        return null;
    }

    private static bool IsHalf(double value) => (double)(Half)value == value;
}

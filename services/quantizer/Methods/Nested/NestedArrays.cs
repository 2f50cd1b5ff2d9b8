using Qbb.Bases;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>The stored form of a nested layer while it is filled; several threads may fill different rows.</summary>
internal sealed class NestedArrays(int bases, int outFeatures, int inFeatures, int groupSize, bool bias)
{
    private readonly int _words = SignPacking.WordsPerRow(inFeatures);
    private readonly int _groups = (inFeatures - 1) / groupSize + 1;
    private readonly uint[] _planes = new uint[bases * outFeatures * SignPacking.WordsPerRow(inFeatures)];
    private readonly Half[][] _alpha = [.. Enumerable.Range(1, bases).Select(count => new Half[count * Scales(outFeatures, inFeatures, groupSize)])];
    private readonly Half[][]? _beta =
        bias ? [.. Enumerable.Range(1, bases).Select(_ => new Half[Scales(outFeatures, inFeatures, groupSize)])] : null;

    /// <summary>The signs of one row of one plane.</summary>
    public Span<uint> Row(int basis, int row) => _planes.AsSpan((basis * outFeatures + row) * _words, _words);

    /// <summary>Rounds the scales and biases of a group to fp16, in the fit and here; returns how many of them are subnormal.</summary>
    /// <exception cref="InvalidInputException">A scale is beyond fp16.</exception>
    public int Round(string layer, int row, int group, NestedFit fit)
    {
        var subnormal = 0;
        for (var count = 1; count <= bases; count++)
        {
            var alpha = fit.Alpha[count - 1];
            for (var basis = 0; basis < count; basis++)
                alpha[basis] = (double)(_alpha[count - 1][(basis * outFeatures + row) * _groups + group] = Rounded(alpha[basis]));
            if (_beta != null)
                fit.Beta[count - 1] = (double)(_beta[count - 1][row * _groups + group] = Rounded(fit.Beta[count - 1]));
        }
        return subnormal;

        Half Rounded(double value)
        {
            var rounded = (Half)value;
            if (!Half.IsFinite(rounded))
                throw HalfScales.TooLarge(layer);
            if (value != 0 && Math.Abs(value) < HalfScales.SmallestNormal)
                subnormal++;
            return rounded;
        }
    }

    private static int Scales(int outFeatures, int inFeatures, int groupSize) => outFeatures * ((inFeatures - 1) / groupSize + 1);

    /// <summary>The finished layer.</summary>
    public NestedBases ToBases() => new(
        new BinaryBases(bases, outFeatures, inFeatures, groupSize, _planes, _alpha[^1], _beta?[^1]),
        [.. Enumerable.Range(0, bases - 1).Select(place => new NestedScales(_alpha[place], _beta?[place]))]);
}

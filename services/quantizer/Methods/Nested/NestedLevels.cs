using Qbb.Quantizer.Methods.Alternating;

namespace Qbb.Quantizer.Methods.Nested;

/// <summary>
/// Which code is best for a weight: the least of cost_c(w) = Σ_n λ_n (w − L_n[c])², L_n[c] the level that the first n bases of code c make.
/// The w² terms agree for all codes, so what is left are 2^N lines in w, and the best code is the lower envelope of them: an interval of
/// weights for each code on it, between thresholds. <see cref="ReferenceNested.Assign"/> is the plain form.
/// </summary>
internal sealed class NestedLevels
{
    private readonly int _bases;
    private readonly double[] _levels;
    private readonly double[] _slopes;
    private readonly double[] _offsets;
    private readonly int[] _order;

    public NestedLevels(int bases)
    {
        _bases = bases;
        _levels = new double[1 << bases];
        _slopes = new double[1 << bases];
        _offsets = new double[1 << bases];
        _order = new int[1 << bases];
        Codes = new int[1 << bases];
        Thresholds = new float[Math.Max(8, 1 << bases)];
    }

    /// <summary>Intervals: codes on the envelope.</summary>
    public int Count { get; private set; }

    /// <summary>The codes on the envelope by rising weight; the first <see cref="Count"/> count.</summary>
    public int[] Codes { get; }

    /// <summary>Code k is the best from threshold k − 1 up to just below threshold k; infinity from Count − 1 on.</summary>
    public float[] Thresholds { get; }

    /// <summary>Takes new scales and biases.</summary>
    /// <param name="alpha">n scales at place n − 1.</param>
    /// <param name="beta">[N]</param>
    /// <param name="importance">λ [N], positive.</param>
    public void Update(double[][] alpha, double[] beta, ReadOnlySpan<double> importance)
    {
        Array.Clear(_slopes);
        Array.Clear(_offsets);
        var total = 0.0;
        for (var count = 1; count <= _bases; count++)
        {
            GroupFit.Levels(alpha[count - 1], beta[count - 1], _levels);
            var weight = importance[count - 1];
            total += weight;
            for (var code = 0; code < _slopes.Length; code++)
            {
                var level = _levels[code & NestedFit.Mask(count)];
                _slopes[code] += weight * level;
                _offsets[code] += weight * level * level;
            }
        }
        for (var code = 0; code < _slopes.Length; code++)
        {
            _slopes[code] /= total;
            _offsets[code] /= total;
            _order[code] = code;
        }
        // Stable in the code, so equal lines always give the same one.
        Array.Sort(_order, (a, b) => _slopes[a] != _slopes[b] ? _slopes[a].CompareTo(_slopes[b])
            : _offsets[a] != _offsets[b] ? _offsets[b].CompareTo(_offsets[a]) : b.CompareTo(a));
        Envelope();
    }

    /// <summary>cost = −2·slope·w + offset: the steeper a line falls the farther right it is best.</summary>
    private void Envelope()
    {
        Count = 0;
        foreach (var code in _order)
        {
            // Of equal slopes the last one has the least offset.
            if (Count > 0 && _slopes[Codes[Count - 1]] == _slopes[code])
                Count--;
            while (Count > 1 && Crossing(Codes[Count - 1], code) <= Crossing(Codes[Count - 2], Codes[Count - 1]))
                Count--;
            Codes[Count++] = code;
        }
        Thresholds.AsSpan().Fill(float.PositiveInfinity);
        for (var k = 0; k + 1 < Count; k++)
            Thresholds[k] = (float)Crossing(Codes[k], Codes[k + 1]);
    }

    private double Crossing(int left, int right) => (_offsets[right] - _offsets[left]) / (2 * (_slopes[right] - _slopes[left]));
}

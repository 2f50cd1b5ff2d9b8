using System.Runtime.Intrinsics;

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>
/// Gradient descent on Σ(w − ŵ)² of one group. The signs are those of latent weights that take the gradient straight through the sign
/// function. A pass has N blocks of steps. Progressive: the blocks train the latent weights of one basis each, in turn, and all scales;
/// simultaneous: every block trains all of them. A block whose error did not fall is undone. The paper gives neither optimiser nor rate:
/// here the latent gradient
/// is scaled to unit root mean square, its rate falls linearly to 0 within a block, and scales take plain gradient steps.
/// </summary>
internal sealed class GradientRefiner(int bases, bool bias, int passes, int steps, double rate, bool simultaneous, int capacity)
{
    private const float LargestLatent = 3;
    private readonly float[] _weights = new float[Padded(capacity)];
    private readonly float[] _valid = new float[Padded(capacity)];
    private readonly float[] _errors = new float[Padded(capacity)];
    private readonly float[] _latents = new float[bases * Padded(capacity)];
    private readonly float[] _savedLatents = new float[bases * Padded(capacity)];
    private readonly float[] _alpha = new float[bases];
    private readonly float[] _savedAlpha = new float[bases];
    private readonly float[] _gradient = new float[bases];
    private float _beta;
    private float _gradientOfBeta;
    private int _length;
    private int _padded;

    /// <summary>Refines a group whose latents, signs and scales are the init's.</summary>
    public void Refine(ReadOnlySpan<float> w, GroupFit fit)
    {
        var spread = Load(w, fit);
        if (spread == 0)
            return;
        var best = Errors();
        for (var pass = 0; pass < passes; pass++)
        {
            for (var block = 0; block < bases; block++)
            {
                var savedBeta = _beta;
                _latents.CopyTo(_savedLatents, 0);
                _alpha.CopyTo(_savedAlpha, 0);
                for (var step = 0; step < steps; step++)
                    Step(block, (float)(rate * (steps - step) / steps));
                var error = Errors();
                if (error < best)
                {
                    best = error;
                    continue;
                }
                _savedLatents.CopyTo(_latents, 0);
                _savedAlpha.CopyTo(_alpha, 0);
                _beta = savedBeta;
            }
        }
        Store(fit, spread);
    }

    private static int Padded(int length) => (length + 7) & ~7;

    /// <summary>Copies the group in units of its root mean square, which is returned; 0 where all weights are.</summary>
    private double Load(ReadOnlySpan<float> w, GroupFit fit)
    {
        var squares = 0.0;
        foreach (var value in w)
            squares += (double)value * value;
        var spread = Math.Sqrt(squares / w.Length);
        if (spread == 0)
            return 0;
        (_length, _padded) = (w.Length, Padded(w.Length));
        Array.Clear(_weights);
        Array.Clear(_valid);
        Array.Clear(_latents);
        for (var j = 0; j < w.Length; j++)
        {
            _weights[j] = (float)(w[j] / spread);
            _valid[j] = 1;
        }
        for (var basis = 0; basis < bases; basis++)
        {
            var latent = fit.Latent(basis);
            for (var j = 0; j < w.Length; j++)
                _latents[basis * _padded + j] = Math.Clamp((float)(latent[j] / spread), -LargestLatent, LargestLatent);
            _alpha[basis] = (float)(fit.Alpha[basis] / spread);
        }
        _beta = (float)(fit.Beta / spread);
        return spread;
    }

    private void Store(GroupFit fit, double spread)
    {
        fit.Codes.Clear();
        for (var basis = 0; basis < bases; basis++)
        {
            for (var j = 0; j < _length; j++)
                fit.Codes[j] |= (byte)((_latents[basis * _padded + j] >= 0 ? 1 : 0) << basis);
            fit.Alpha[basis] = _alpha[basis] * spread;
        }
        fit.Beta = _beta * spread;
        fit.Normalize();
    }

    private void Step(int block, float rate)
    {
        var squares = Errors();
        if (squares == 0)
            return;
        var scale = rate / (float)Math.Sqrt(squares / _length);
        for (var basis = 0; basis < bases; basis++)
        {
            if (simultaneous || basis == block)
                MoveLatent(basis, _alpha[basis] >= 0 ? scale : -scale);
        }
        // Half the gradient of the mean square; the curvature along it is at most the number of unknowns.
        var unknowns = bases + (bias ? 1 : 0);
        for (var basis = 0; basis < bases; basis++)
            _alpha[basis] += _gradient[basis] / (_length * unknowns);
        if (bias)
            _beta += _gradientOfBeta / (_length * unknowns);
    }

    private void MoveLatent(int basis, float scale)
    {
        var latent = _latents.AsSpan(basis * _padded, _padded);
        var (low, high) = (Vector256.Create(-LargestLatent), Vector256.Create(LargestLatent));
        for (var j = 0; j < latent.Length; j += 8)
        {
            var moved = Vector256.Create<float>(latent[j..]) + Vector256.Create<float>(_errors.AsSpan(j)) * scale;
            Vector256.Min(Vector256.Max(moved, low), high).CopyTo(latent[j..]);
        }
    }

    /// <summary>Errors e = w − ŵ and the sums Σe·B_i and Σe; returns Σe².</summary>
    private float Errors()
    {
        Span<Vector256<float>> signed = stackalloc Vector256<float>[bases];
        signed.Clear();
        var sum = Vector256<float>.Zero;
        var squares = Vector256<float>.Zero;
        var signBit = Vector256.Create(0x8000_0000u);
        for (var j = 0; j < _padded; j += 8)
        {
            var error = Vector256.Create<float>(_weights.AsSpan(j)) - Vector256.Create(_beta);
            for (var basis = 0; basis < bases; basis++)
                error -= Signed(basis, j, Vector256.Create(_alpha[basis]));
            error *= Vector256.Create<float>(_valid.AsSpan(j));
            error.CopyTo(_errors, j);
            for (var basis = 0; basis < bases; basis++)
                signed[basis] += Signed(basis, j, error);
            sum += error;
            squares += error * error;
        }
        for (var basis = 0; basis < bases; basis++)
            _gradient[basis] = Vector256.Sum(signed[basis]);
        _gradientOfBeta = Vector256.Sum(sum);
        return Vector256.Sum(squares);

        Vector256<float> Signed(int basis, int j, Vector256<float> value)
        {
            // Not the sign bit of the latent itself: −0 counts as +1.
            var negative = Vector256.LessThan(Vector256.Create<float>(_latents.AsSpan(basis * _padded + j)), Vector256<float>.Zero);
            return (value.AsUInt32() ^ negative.AsUInt32() & signBit).AsSingle();
        }
    }
}

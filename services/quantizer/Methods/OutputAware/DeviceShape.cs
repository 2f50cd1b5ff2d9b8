namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>The numbers of a layer that its kernels ask for.</summary>
/// <param name="Rows">out.</param>
/// <param name="Columns">in.</param>
/// <param name="GroupSize">Columns that share a scale; at most in.</param>
/// <param name="Bases">N.</param>
/// <param name="HasBias">Whether groups have a bias.</param>
internal sealed record DeviceShape(long Rows, int Columns, int GroupSize, int Bases, bool HasBias)
{
    public int Groups => (Columns - 1) / GroupSize + 1;

    /// <summary>2^N.</summary>
    public int Levels => 1 << Bases;

    /// <summary>Scales and bias of a group.</summary>
    public int Unknowns => Bases + (HasBias ? 1 : 0);

    /// <summary>Scales and biases of a row.</summary>
    public int Order => Groups * Unknowns;
}

using Qbb.Bases;
using Qbb.Models;

namespace Qbb.Quantizer.Calibration;

/// <summary>How sensitivities are measured.</summary>
public sealed record SensitivityOptions
{
    /// <summary>The least N to try.</summary>
    public int FewestBases { get; init; } = 1;

    /// <summary>The largest N to try.</summary>
    public int MostBases { get; init; } = 4;

    /// <summary>Sequences that the KL is measured on, spread evenly over the data; the others serve to calibrate.</summary>
    public int Sequences { get; init; } = 4;

    /// <summary>The most sequences that layers are calibrated on.</summary>
    public int MostCalibrationSequences { get; init; } = 128;

    /// <summary>Where the model runs.</summary>
    public Device Device { get; init; } = torch.CPU;

    /// <summary>Type of weights and activations there.</summary>
    public ScalarType DType { get; init; } = ScalarType.Float32;

    /// <summary>Tokens that run at once; a longer sequence runs alone.</summary>
    public int TokensPerBatch { get; init; } = 4096;

    /// <exception cref="InvalidInputException">A value is out of range; the message names it.</exception>
    public void Validate()
    {
        if (FewestBases < 1 || MostBases > BinaryBases.MostBases || FewestBases >= MostBases)
            throw new InvalidInputException(
                $"--bases-range is {FewestBases}-{MostBases}; it must be two numbers from 1 to {BinaryBases.MostBases}, "
                + "the first below the second");
        if (Sequences < 1)
            throw new InvalidInputException($"--sensitivity-sequences is {Sequences}; it must be at least 1");
    }
}

/// <summary>One more figure is measured.</summary>
/// <param name="Layer">The module.</param>
/// <param name="Bases">N.</param>
/// <param name="Kl">What quantizing it did.</param>
/// <param name="Done">Work done: forward passes of blocks.</param>
/// <param name="Total">All of it.</param>
public sealed record SensitivityProgress(string Layer, int Bases, double Kl, double Done, double Total);

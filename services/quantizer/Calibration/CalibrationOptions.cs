using Qbb.Torch;

namespace Qbb.Quantizer.Calibration;

/// <summary>How calibration sequences run through the model.</summary>
public sealed record CalibrationOptions
{
    /// <summary>Sequences of sampled data that are used where nobody says how many; more serve the distillation alone.</summary>
    public const int MostSampled = 512;

    /// <summary>Sequences to use, spread evenly over those there are; null for all.</summary>
    public int? Sequences { get; init; }

    /// <summary>Where the blocks run.</summary>
    public Device Device { get; init; } = Device.CPU;

    /// <summary>Type of weights and activations there.</summary>
    public ScalarType DType { get; init; } = ScalarType.Float32;

    /// <summary>Tokens that run through a block at once; a longer sequence runs alone.</summary>
    public int TokensPerBatch { get; init; } = 4096;

    /// <summary>
    /// A folder for the activations between blocks, one fp32 number per token and hidden feature; null keeps them in memory.
    /// </summary>
    public string? ActivationFolder { get; init; }
}

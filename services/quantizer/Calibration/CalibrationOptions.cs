using Qbb.Cuda;

namespace Qbb.Quantizer.Calibration;

/// <summary>How calibration sequences run through the model.</summary>
public sealed record CalibrationOptions
{
    /// <summary>Sequences to use, spread evenly over those there are; null for all.</summary>
    public int? Sequences { get; init; }

    /// <summary>Where the blocks run.</summary>
    public Device Device { get; init; } = torch.CPU;

    /// <summary>Type of weights and activations there.</summary>
    public ScalarType DType { get; init; } = ScalarType.Float32;

    /// <summary>
    /// Tokens that run through a block at once; a longer sequence runs alone. Null: 2,048 on the CPU, where the scores of attention then mostly stay
    /// below the 32 MB that glibc keeps for the next operator, and 16,384 on a GPU.
    /// </summary>
    public int? TokensPerBatch { get; init; }

    /// <summary>
    /// A folder for the activations between blocks, one number per token and hidden feature; null keeps them in memory: on the device
    /// where a third of what it has free holds them.
    /// </summary>
    public string? ActivationFolder { get; init; }

    /// <summary>The type that sequences run in where text is sampled in another: on a GPU fp32 costs little and errors add up block by block.</summary>
    public static ScalarType TypeOn(Device device, ScalarType sampled) =>
        device.type == DeviceType.CPU && sampled == ScalarType.BFloat16 ? sampled : ScalarType.Float32;

    /// <summary><see cref="TokensPerBatch"/>, or its default.</summary>
    internal int Tokens => TokensPerBatch ?? (Device.type == DeviceType.CUDA ? 16_384 : 2048);

    /// <summary>Whether the activations between blocks stay on the device.</summary>
    /// <param name="numbers">How many there are.</param>
    internal bool KeepsOnDevice(long numbers) =>
        ActivationFolder is null && Device.type == DeviceType.CUDA && numbers * DType.ElementSize() < CudaDevice.Get(Device).Memory.Free / 3;
}

/// <summary>The data that a model was calibrated on.</summary>
/// <param name="Digest">Identity of the tokens.</param>
/// <param name="Sequences">Sequences that were used.</param>
/// <param name="Tokens">Their tokens.</param>
public sealed record CalibrationRecord(string Digest, int Sequences, long Tokens);

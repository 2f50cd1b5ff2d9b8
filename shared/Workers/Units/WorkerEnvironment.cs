using System.Globalization;
using Qbb.Bases.Cpu;
using Qbb.Cuda;

namespace Qbb.Workers.Units;

/// <summary>What a unit's bits may depend on beside its inputs: units of one environment come out the same, those of two agree within a tolerance.</summary>
/// <param name="Processor">Instructions of a CPU, or the model of a GPU.</param>
/// <param name="Threads">Of a CPU.</param>
public sealed record WorkerEnvironment(string Processor, int Threads)
{
    /// <param name="device">Where it calculates.</param>
    /// <param name="threads">On a CPU; 0 for libtorch's own choice.</param>
    public static WorkerEnvironment Of(Device device, int threads) => device.type == DeviceType.CUDA
        ? new(CudaDevice.Get(device).Name, 0)
        : new($"cpu-{CpuKernels.Best.ToString().ToLowerInvariant()}", threads > 0 ? threads : torch.get_num_threads());

    /// <summary>Null of a text that is not one.</summary>
    public static WorkerEnvironment? Parse(string? text) => text?.Split('/') is [var processor, var threads] && int.TryParse(threads, CultureInfo.InvariantCulture, out var count) ? new(processor, count) : null;

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Processor}/{Threads}");
}

using Qbb.Bases.Cpu;
using Qbb.Bases.Cuda;
using Qbb.Models;

namespace Qbb.Bases;

/// <summary>Which product serves which device.</summary>
public static class BasesProducts
{
    /// <summary>The product for a device; null where its kernels do not serve the weight and the dense weight has to be expanded.</summary>
    /// <exception cref="InvalidInputException">The device has no kernel for what the options ask.</exception>
    public static IBasesProduct? Create(BinaryBases bases, Device device, BasesProductOptions options)
    {
        if (device.type == DeviceType.CPU)
            return new CpuProduct(bases, options);
        if (options.Integer is not null)
            throw new InvalidInputException($"sums of integers are calculated on the CPU only, not on {device}: use --device cpu");
        return CudaProduct.Supports(bases.GroupSize, bases.InFeatures) ? CudaProduct.Of(bases, device) : null;
    }
}

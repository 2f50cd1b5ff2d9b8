using Qbb.Bases.Cuda;

namespace Qbb.Bases.Tests.Cuda;

/// <summary>Shapes of kernels for devices of several sizes.</summary>
public class ShapeTests
{
    /// <summary>Compute capabilities 8.6 and 8.9, 8.0, 9.0.</summary>
    public static TheoryData<int, int, bool> Devices() => new() { { 99, 100, false }, { 163, 164, false }, { 227, 228, true } };

    [Theory, MemberData(nameof(Devices))]
    public void They_fit_into_the_devices_shared_memory(int perBlock, int perMultiprocessor, bool hopper)
    {
        var memory = new SharedMemory(perBlock << 10, perMultiprocessor << 10);
        using var none = torch.zeros([1], ScalarType.Int32, torch.CPU);
        for (var count = 1; count <= BinaryBases.MostBases; count++)
        {
            foreach (var features in new[] { 31, 576, 4096, 11008, 28672, 53248 })
            {
                foreach (var group in new[] { 32, 128, features })
                {
                    var weight = new PackedBases(none, none, count, 4096, features, group, HasBias: true);
                    foreach (var tokens in new[] { 1, 8, 16, 32 })
                    {
                        foreach (var wide in hopper ? new[] { false, true } : [false])
                        {
                            if (tokens > (wide ? 32 : 16))
                                continue;
                            var shape = SelectProduct.ShapeFor(weight, tokens, bfloat: true, wide, hopper ? 2 : 1, memory);
                            memory.Holds(1, shape.SharedBytes).ShouldBeTrue($"{count} bases, {features} inputs in groups of {group}, {tokens} tokens, wide {wide}: {shape.SharedBytes} bytes");
                            shape.Warps.ShouldBeGreaterThanOrEqualTo(2);
                        }
                        if (CountProduct.Supports(weight, tokens, memory))
                        {
                            var shape = CountProduct.ShapeFor(weight, tokens, bfloat: true, memory: memory);
                            memory.Holds(shape.Blocks, shape.SharedBytes(features)).ShouldBeTrue($"{count} bases, {features} inputs, {tokens} tokens: {shape.SharedBytes(features)} bytes");
                        }
                    }
                    // One token of what is commonly multiplied is counted on every device.
                    if (group == 128 && features <= 28672 && count <= 4)
                        CountProduct.Supports(weight, 1, memory).ShouldBeTrue($"{count} bases of {features} inputs");
                }
            }
        }
    }
}

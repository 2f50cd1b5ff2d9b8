using System.Runtime.InteropServices;
using Qbb.Torch.Cuda;

namespace Qbb.Torch.Tests.Cuda;

public class LaunchConfigTests
{
    [Fact]
    public void Structures_have_the_drivers_sizes_and_places()
    {
        // cuda.h: seven unsigned ints, a stream, a pointer, an unsigned int; an int, padding to 8 bytes, a union of 64.
        Marshal.SizeOf<LaunchConfig>().ShouldBe(56);
        Marshal.OffsetOf<LaunchConfig>(nameof(LaunchConfig.Stream)).ShouldBe(32);
        Marshal.OffsetOf<LaunchConfig>(nameof(LaunchConfig.Attributes)).ShouldBe(40);
        Marshal.OffsetOf<LaunchConfig>(nameof(LaunchConfig.Count)).ShouldBe(48);
        Marshal.SizeOf<LaunchAttribute>().ShouldBe(72);
        Marshal.OffsetOf<LaunchAttribute>(nameof(LaunchAttribute.Value)).ShouldBe(8);
    }
}

namespace Qbb.Cuda.Tests;

public unsafe class LaunchArgumentsTests
{
    [Fact]
    public void Numbers_lie_in_the_low_bytes_of_their_slots()
    {
        var values = Pack([4, 4, 8, 4, 8, 8, 8], -2, 3u, -4L, 0.5f, 0.25, KernelArgument.Pointer(77), (Tensor?)null);
        (*(int*)values.At(0)).ShouldBe(-2);
        (*(uint*)values.At(1)).ShouldBe(3u);
        (*(long*)values.At(2)).ShouldBe(-4L);
        (*(float*)values.At(3)).ShouldBe(0.5f);
        (*(double*)values.At(4)).ShouldBe(0.25);
        (*(long*)values.At(5)).ShouldBe(77);
        (*(long*)values.At(6)).ShouldBe(0);
    }

    [Fact]
    public void Arguments_that_a_kernel_does_not_take_are_refused_by_name()
    {
        Should.Throw<ArgumentException>(() => Pack([4, 4], 1)).Message.ShouldBe("kernel k takes 2 arguments, not 1");
        Should.Throw<ArgumentException>(() => Pack([4, 8], 1, 2)).Message.ShouldBe("argument 1 of kernel k has 4 bytes, its parameter 8");
        Should.Throw<ArgumentException>(() => Pack(null, 1.0, torch.zeros([2, 3]))).Message.ShouldBe("argument 1 of kernel k, f32[2, 3], is on cpu, not on cuda:0");
    }

    private static Slots Pack(int[]? sizes, params KernelArgument[] arguments)
    {
        var slots = new Slots(arguments.Length);
        LaunchArguments.Pack("k", 0, sizes, arguments, (long*)slots.At(0));
        return slots;
    }

    private sealed class Slots(int count)
    {
        private readonly long[] _values = GC.AllocateArray<long>(count, pinned: true);

        public void* At(int k) => System.Runtime.CompilerServices.Unsafe.AsPointer(ref _values[k]);
    }
}

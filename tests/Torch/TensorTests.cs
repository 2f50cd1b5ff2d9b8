namespace Qbb.Torch.Tests;

public class TensorTests
{
    private static readonly float[] s_six = [1, 2, 3, 4, 5, 6];

    [Fact]
    public void Shape_type_device_and_strides_are_libtorchs()
    {
        using var t = torch.tensor(s_six, 2, 3);
        t.shape.ShouldBe([2, 3]);
        t.stride().ShouldBe([3, 1]);
        t.dtype.ShouldBe(ScalarType.Float32);
        t.device.ShouldBe(Device.CPU);
        t.numel().ShouldBe(6);
        t.size(-1).ShouldBe(3);
        t.is_contiguous().ShouldBeTrue();
        t.transpose(0, 1).is_contiguous().ShouldBeFalse();
        t.ToString().ShouldBe("f32[2, 3]");
    }

    [Theory]
    [InlineData(ScalarType.Float32), InlineData(ScalarType.Float16), InlineData(ScalarType.BFloat16), InlineData(ScalarType.Int8)]
    [InlineData(ScalarType.Int32), InlineData(ScalarType.Int64), InlineData(ScalarType.Bool), InlineData(ScalarType.Float64)]
    [InlineData(ScalarType.Byte), InlineData(ScalarType.Int16)]
    public void Every_element_type_converts_there_and_back(ScalarType type)
    {
        using var t = torch.tensor([0f, 1f, 1f]).to(type);
        t.dtype.ShouldBe(type);
        t.to(ScalarType.Float32).to_array<float>().ShouldBe([0, 1, 1]);
        (t.stride()[0] * type.ElementSize()).ShouldBe(type.ElementSize());
    }

    [Fact]
    public void Managed_arrays_are_viewed_without_a_copy()
    {
        var values = new float[] { 1, 2, 3, 4 };
        using (var view = torch.from_array(values, 2, 2))
        {
            view.add_(10);
            values.ShouldBe([11, 12, 13, 14]);
            values[3] = -1;
            view.to_array<float>()[3].ShouldBe(-1);
        }
    }

    [Fact]
    public unsafe void Foreign_memory_is_released_after_its_last_view()
    {
        var owner = new Owner();
        var data = stackalloc float[2];
        var view = torch.from_blob(data, [2], ScalarType.Float32, owner);
        var second = view.view(2, 1);
        view.Dispose();
        owner.Disposed.ShouldBeFalse();
        second.Dispose();
        owner.Disposed.ShouldBeTrue();
    }

    [Fact]
    public void Scopes_dispose_of_what_was_made_in_them()
    {
        Tensor kept, lost, outer;
        using (torch.NewDisposeScope())
        {
            using (var inner = torch.NewDisposeScope())
            {
                lost = torch.ones([1]);
                outer = torch.ones([1]).MoveToOuterDisposeScope();
                kept = torch.ones([1]).DetachFromDisposeScope();
            }
            Should.Throw<ObjectDisposedException>(() => lost.numel());
            outer.item().ShouldBe(1);
        }
        Should.Throw<ObjectDisposedException>(() => outer.numel());
        kept.item().ShouldBe(1);
        kept.Dispose();
    }

    [Fact]
    public void Scopes_end_innermost_first()
    {
        var a = torch.NewDisposeScope();
        var b = torch.NewDisposeScope();
        Should.Throw<InvalidOperationException>(a.Dispose);
        b.Dispose();
        a.Dispose();
    }

    [Fact]
    public void Errors_carry_the_operator_the_shapes_and_libtorchs_message()
    {
        var e = Should.Throw<TorchException>(() => torch.matmul(torch.ones([2, 3]), torch.ones([4, 5])));
        e.Operation.ShouldBe("aten::matmul");
        e.Shapes.ShouldBe(["f32[2, 3]", "f32[4, 5]"]);
        e.Detail.ShouldContain("cannot be multiplied");
    }

    [Fact]
    public void An_unknown_operator_is_named() =>
        Should.Throw<TorchException>(() => new Interop.Operator("aten::no_such_thing").Call()).Message.ShouldContain("no_such_thing");

    [Fact]
    public void Data_of_the_wrong_type_or_layout_is_refused()
    {
        Should.Throw<InvalidOperationException>(() => torch.ones([2]).data<double>()[0]);
        Should.Throw<InvalidOperationException>(() => torch.ones([2, 3]).transpose(0, 1).data<float>()[0]);
        Should.Throw<ArgumentException>(() => torch.tensor(new float[3], 2, 2));
    }

    [Fact]
    public void Boxed_values_have_the_size_that_the_native_side_expects()
    {
        System.Runtime.CompilerServices.Unsafe.SizeOf<Interop.BoxedValue>().ShouldBe(Interop.NativeMethods.qbb_value_size());
        System.Runtime.InteropServices.Marshal.OffsetOf<Interop.BoxedValue>(nameof(Interop.BoxedValue.Pointer)).ToInt32().ShouldBe(8);
    }

    [Theory]
    [InlineData("cpu", DeviceType.CPU, -1), InlineData("cuda", DeviceType.CUDA, 0), InlineData("cuda:3", DeviceType.CUDA, 3)]
    public void Devices_parse(string text, DeviceType type, int index) => Device.Parse(text).ShouldBe(new Device(type, index));

    [Theory]
    [InlineData("gpu"), InlineData("cuda:x"), InlineData("cuda:-1")]
    public void Unknown_devices_are_refused(string text) => Should.Throw<FormatException>(() => Device.Parse(text)).Message.ShouldContain(text);

    [Fact]
    public void A_fast_blas_is_found_where_tests_run() => torch.slow_blas().ShouldBeNull();

    [Fact]
    public void Thread_counts_are_set()
    {
        var before = torch.get_num_threads();
        torch.set_num_threads(1);
        torch.get_num_threads().ShouldBe(1);
        torch.set_num_threads(before);
    }

    [Fact]
    public void Generators_repeat_and_clones_of_a_seed_agree()
    {
        using Generator a = new(7), b = new(7), c = new(8);
        var first = torch.randn([16], a).to_array<float>();
        torch.randn([16], b).to_array<float>().ShouldBe(first);
        torch.randn([16], c).to_array<float>().ShouldNotBe(first);
        torch.randn([16], a).to_array<float>().ShouldNotBe(first);
    }

    [Fact]
    public void A_million_operations_leave_no_memory_behind()
    {
        using var a = torch.ones([64, 64]);
        // The collector lets garbage grow to the size of the last cache before it runs, and that may be hundreds of megabytes.
        long Resident()
        {
            GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            return Environment.WorkingSet;
        }
        void Run(int count)
        {
            for (var k = 0; k < count; k += 100)
                using (torch.NewDisposeScope())
                    for (var j = 0; j < 100; j++)
                        a.slice(0, j % 32, 64).neg();
        }
        Run(20_000);
        var before = Resident();
        Run(480_000); // two operations each: with the warm-up a million
        (Resident() - before).ShouldBeLessThan(32L << 20);
    }

    [Fact]
    public void Many_threads_call_at_once()
    {
        using var shared = torch.arange(0, 256, 1, ScalarType.Float32);
        var sums = new double[64];
        Parallel.For(0, sums.Length, new ParallelOptions { MaxDegreeOfParallelism = 8 }, k =>
        {
            for (var repeat = 0; repeat < 50; repeat++)
                using (torch.NewDisposeScope())
                    sums[k] = (shared * k).sum().item();
        });
        sums.ShouldBe(Enumerable.Range(0, 64).Select(k => k * 255d * 128));
    }

    [Fact]
    public async Task Errors_of_several_threads_do_not_mix()
    {
        var tasks = Enumerable.Range(2, 16).Select(n => Task.Run(() =>
        {
            for (var repeat = 0; repeat < 20; repeat++)
                Should.Throw<TorchException>(() => torch.ones([n]).view(n + 1)).Detail.ShouldContain($"size {n}");
        }));
        await Task.WhenAll(tasks);
    }

    private sealed class Owner : IDisposable
    {
        public bool Disposed { get; private set; }
        public void Dispose() => Disposed = true;
    }
}

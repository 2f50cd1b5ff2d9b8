namespace Qbb.LibTorch.Tests;

public class TorchExtensionsTests
{
    [Fact]
    public void Managed_arrays_are_viewed_without_a_copy()
    {
        var values = new float[] { 1, 2, 3, 4 };
        using var view = torch.from_array(values, 2, 2);
        view.add_(10);
        values.ShouldBe([11, 12, 13, 14]);
        values[3] = -1;
        view.ToArray<float>()[3].ShouldBe(-1);
    }

    [Fact]
    public unsafe void Foreign_memory_has_its_owner_until_its_last_view_is_gone()
    {
        var data = stackalloc float[2];
        var (owner, view) = Viewed(data);
        var second = view.view(2, 1);
        view.Dispose();
        Collect();
        owner.IsAlive.ShouldBeTrue();
        second.Dispose();
        Collect();
        owner.IsAlive.ShouldBeFalse();

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        static (WeakReference, Tensor) Viewed(float* at)
        {
            var owner = new object();
            return (new WeakReference(owner), torch.from_blob(at, [2], ScalarType.Float32, owner));
        }

        static void Collect()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect();
        }
    }

    [Fact]
    public void Copies_and_descriptions_have_type_and_shape()
    {
        using var scope = torch.NewDisposeScope();
        var x = torch.tensor([(Half)1, (Half)2], 2, 1);
        x.Describe().ShouldBe("f16[2, 1]");
        x.ToArray<Half>().ShouldBe([(Half)1, (Half)2]);
        torch.arange(6).view(2, 3).t().ToArray<long>().ShouldBe([0, 3, 1, 4, 2, 5]);
        x.view(ScalarType.Int16).ToArray<short>().ShouldBe([0x3c00, 0x4000]);
        Should.Throw<ArgumentException>(() => torch.tensor(new Half[3], 2, 2));
        Should.Throw<InvalidOperationException>(() => torch.ones([2]).AsSpan<double>()[0]);
        Should.Throw<InvalidOperationException>(() => torch.ones([2, 3]).t().AsSpan<float>()[0]);
    }

    [Fact]
    public void Attention_with_a_scale_and_shared_heads_agrees_with_its_formula()
    {
        using var scope = torch.NewDisposeScope();
        using var generator = new Generator(1);
        var (q, k, v) = (Random(6), Random(3), Random(3));
        var hidden = torch.full([4, 4], double.NegativeInfinity, ScalarType.Float32).triu(1);
        var expected = torch.nn.functional.softmax(q.matmul(Repeat(k).transpose(-1, -2)) * 0.3 + hidden, -1).matmul(Repeat(v));
        Close(torch.nn.functional.scaled_dot_product_attention(q, k, v, null, true, 0.3, true), expected);
        Close(torch.nn.functional.scaled_dot_product_attention(q, Repeat(k), Repeat(v), hidden, false, 0.3, false), expected);

        static Tensor Repeat(Tensor x) => x.repeat_interleave(2, 1);
        Tensor Random(long heads) => torch.randn([2, heads, 4, 8], generator: generator);
    }

    [Fact]
    public void Embeddings_are_rows_and_have_gradients()
    {
        using var scope = torch.NewDisposeScope();
        var weight = torch.arange(6, ScalarType.Float32).view(3, 2).requires_grad_();
        var ids = torch.tensor(new long[] { 2, 0, 2 });
        var rows = torch.nn.functional.embedding(ids, weight);
        rows.ToArray<float>().ShouldBe([4, 5, 0, 1, 4, 5]);
        rows.sum().backward();
        weight.grad!.ToArray<float>().ShouldBe([1, 1, 0, 0, 2, 2]);
    }

    [Fact]
    public void Products_go_where_they_are_told_and_lists_are_taken_at_once()
    {
        using var scope = torch.NewDisposeScope();
        var (a, b, y) = (torch.ones([2, 3]), torch.ones([3, 4]), torch.zeros([2, 4]));
        torch.mm_out(a, b, y);
        y.ToArray<float>().ShouldAllBe(value => value == 3);
        Tensor[] two = [torch.tensor([3f, 4f]), torch.tensor([-1f])];
        Tensor[] other = [torch.tensor([2f, 0.5f]), torch.tensor([6f])];
        torch._foreach_mul(two, other).Select(each => each.ToArray<float>()).ShouldBe([[6f, 2f], [-6f]]);
        torch._foreach_copy_(two, other);
        two.Select(each => each.ToArray<float>()).ShouldBe([[2f, 0.5f], [6f]]);
        Should.Throw<TorchException>(() => torch.mm_out(a, a, y)).Message.ShouldStartWith("aten::mm.out(f32[2, 3], f32[2, 3], f32[2, 4])");
    }

    /// <summary>Arguments are 4 MB each: what one call kept would show.</summary>
    [Fact]
    public void A_thousand_calls_leave_no_memory_behind()
    {
        var before = Environment.WorkingSet;
        for (var k = 0; k < 1000; k++)
        {
            using var scope = torch.NewDisposeScope();
            var x = torch.ones([1024, 1024]);
            torch._foreach_copy_([torch.zeros([1024, 1024])], torch._foreach_mul([x], [x]));
            torch.from_array(new float[1 << 20]).add_(x.view(-1));
        }
        GC.Collect();
        GC.WaitForPendingFinalizers();
        // One tensor kept by every call would be 4 GiB; the allocator keeps up to 512 MiB that other tests have freed.
        (Environment.WorkingSet - before).ShouldBeLessThan(1L << 30);
    }

    [Fact]
    public void Numbers_are_not_freed_while_an_operator_reads_them()
    {
        var ends = Environment.TickCount64 + 4000;
        using var shared = torch.zeros([1 << 14]);
        Parallel.For(0, 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, worker =>
        {
            using var ones = torch.ones([1 << 14]);
            for (var k = 1; Environment.TickCount64 < ends; k++)
            {
                if (worker < 2)
                {
                    GC.Collect(0);
                    GC.WaitForPendingFinalizers();
                    continue;
                }
                using var scope = torch.NewDisposeScope();
                var sum = shared.add(ones, 3).mul(2).add(ones, -1);
                (sum.min().ToSingle(), sum.max().ToSingle()).ShouldBe((5f, 5f), $"round {k}");
            }
        });
    }

    [Theory]
    [InlineData("cpu", DeviceType.CPU, -1), InlineData("cuda", DeviceType.CUDA, 0), InlineData("cuda:3", DeviceType.CUDA, 3)]
    public void Devices_parse(string text, DeviceType type, int index)
    {
        var device = Device.Parse(text);
        (device.type, device.index).ShouldBe((type, index));
    }

    [Theory]
    [InlineData("gpu"), InlineData("cuda:x"), InlineData("cuda:-1")]
    public void Unknown_devices_are_refused(string text) => Should.Throw<FormatException>(() => Device.Parse(text)).Message.ShouldContain(text);

    private static void Close(Tensor actual, Tensor expected) => (actual - expected).abs().max().ToDouble().ShouldBeLessThan(1e-5);
}

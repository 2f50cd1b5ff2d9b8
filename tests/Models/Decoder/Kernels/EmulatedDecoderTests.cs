using Qbb.Cuda;
using Qbb.Models.Decoder.Kernels;
using Qbb.Tests.Emulation;

namespace Qbb.Models.Tests.Decoder.Kernels;

/// <summary>The kernels of the decoder in f32, run on the CPU by the emulator, against tensor operations in f64.</summary>
public sealed class EmulatedDecoderTests : IDisposable
{
    private const ulong Seed = 8;
    private const double Tolerance = 2e-5;

    private readonly ITestOutputHelper _output;
    private readonly DisposeScope _scope = torch.NewDisposeScope();
    private readonly Generator _generator = new(Seed);

    public EmulatedDecoderTests(ITestOutputHelper output)
    {
        _output = output;
        _output.WriteLine($"seed {Seed}");
    }

    public void Dispose()
    {
        _generator.Dispose();
        _scope.Dispose();
    }

    [Theory]
    [InlineData(0, false), InlineData(1, false), InlineData(0, true)]
    public void Norm_of_a_sum_and_its_gradient(int plusOne, bool alone)
    {
        const int rows = 3, size = 200;
        var (x, weight, given, added) = (Random(rows, size), Random(size), Random(rows, size), Random(rows, size));
        var branch = alone ? null : Random(rows, size);
        var (sum, normed, inverse, dx) = (alone ? x : New(rows, size), New(rows, size), New(rows), New(rows, size));
        Kernel("rms_norm").Launch(rows, 64, 0, x, branch, weight, alone ? null : sum, normed, inverse, size, 1e-5f, plusOne);
        Kernel("rms_norm_backward").Launch(rows, 64, 0, given, sum, weight, inverse, added, dx, size, plusOne);

        var wide = Wide(branch is null ? x : x + branch).detach().requires_grad_();
        var expected = wide * wide.square().mean([-1], keepdim: true).add(1e-5).rsqrt() * (Wide(weight) + plusOne);
        ((expected * Wide(given)).sum() + (wide * Wide(added)).sum()).backward();
        Check("norm", normed, expected);
        Check("gradient", dx, wide.grad!);
    }

    [Fact]
    public void Rotation_forth_and_back_and_into_the_cache()
    {
        const int batch = 2, count = 3, heads = 4, groups = 2, head = 32, pairs = 8, capacity = 9, past = 4;
        const int width = (heads + 2 * groups) * head;
        var fused = Random(batch, count, width);
        var angles = Random(count, pairs);
        var (cos, sin) = (angles.cos(), angles.sin());
        var (queries, turned, back) = (New(batch, count, heads, head), New(batch, count, heads, head), New(batch, count, heads, head));
        var (keys, values) = (New(batch, groups, capacity, head), New(batch, groups, capacity, head));
        var start = fused.data_ptr();
        long units = batch * count * (heads + 2 * groups) * head / 8, own = batch * count * heads * head / 8;
        Kernel("rotate_append").Launch(Blocks(units), 64, 0,
            At(0), (long)width, (long)head, At(heads), (long)width, (long)head, At(heads + groups), (long)width, (long)head,
            cos, sin, queries, keys, values, count, count, heads, groups, head, pairs, capacity, past, units);
        Kernel("rotate").Launch(Blocks(own), 64, 0, At(0), (long)width, (long)head, cos, sin, turned, count, heads, head, pairs, 1f, own);
        Kernel("rotate").Launch(Blocks(own), 64, 0, turned, (long)heads * head, (long)head, cos, sin, back, count, heads, head, pairs, -1f, own);

        var all = Wide(fused).view(batch, count, heads + 2 * groups, head);
        var (first, second) = (all.narrow(-1, 0, pairs), all.narrow(-1, pairs, pairs));
        var (c, s) = (Wide(cos).unsqueeze(1), Wide(sin).unsqueeze(1));
        var rotated = torch.cat([first * c - second * s, second * c + first * s, all.narrow(-1, 2 * pairs, head - 2 * pairs)], -1);
        Check("queries", queries, rotated.narrow(2, 0, heads));
        Check("alone", turned, rotated.narrow(2, 0, heads));
        Check("turned back", back, all.narrow(2, 0, heads));
        Check("keys", keys.narrow(2, past, count), rotated.narrow(2, heads, groups).transpose(1, 2));
        Check("values", values.narrow(2, past, count), all.narrow(2, heads + groups, groups).transpose(1, 2));
        keys.narrow(2, 0, past).abs().max().ToDouble().ShouldBe(0);

        KernelArgument At(int slot) => KernelArgument.Pointer(start + slot * head * sizeof(float));
    }

    [Fact]
    public void Gate_and_its_gradients()
    {
        const int rows = 3, width = 40;
        var (fused, given) = (Random(rows, 2 * width), Random(rows, width));
        var (y, dGate, dUp) = (New(rows, width), New(rows, width), New(rows, width));
        var up = KernelArgument.Pointer(fused.data_ptr() + width * sizeof(float));
        const long units = rows * width / 8;
        Kernel("swiglu").Launch(Blocks(units), 64, 0, fused, 2L * width, up, 2L * width, y, width, units);
        Kernel("swiglu_backward").Launch(Blocks(units), 64, 0, given, fused, 2L * width, up, 2L * width, dGate, dUp, width, units);

        var leaf = Wide(fused).detach().requires_grad_();
        var expected = torch.nn.functional.silu(leaf.narrow(1, 0, width)) * leaf.narrow(1, width, width);
        (expected * Wide(given)).sum().backward();
        Check("gate", y, expected);
        Check("gradients", torch.cat([dGate, dUp], 1), leaf.grad!);
    }

    [Theory]
    [InlineData(64, 3, 0, 1), InlineData(64, 1, 0, 70), InlineData(128, 2, 7, 40), InlineData(16, 8, 3, 33)]
    public void Attention_of_one_query(int head, int queries, int first, int seen)
    {
        const int batch = 2, groups = 2, capacity = 80;
        const float scale = 0.5f;
        var q = Random(batch, groups * queries, head);
        var (keys, values) = (Random(batch, groups, capacity, head), Random(batch, groups, capacity, head));
        // What lies behind the last key must not matter.
        keys.narrow(2, seen, capacity - seen).fill_(double.NaN);
        values.narrow(2, seen, capacity - seen).fill_(double.NaN);
        var y = New(batch, groups * queries, head);
        var source = OneQueryAttention.Kernels.Source(ScalarType.Float32, $"-DHEAD={head} -DQUERIES={queries} -DWARPS=2");
        EmulatedKernels.Load(source, "attend_one", torch.CPU).Launch(
            batch * groups, 64, 0, q, keys, values, y, capacity, first, seen, scale * (float)Math.Log2(Math.E));

        var (k, v) = (Wide(keys.narrow(2, first, seen - first)), Wide(values.narrow(2, first, seen - first)));
        var scores = Wide(q).view(batch, groups, queries, head).matmul(k.transpose(2, 3)) * scale;
        Check("attention", y, torch.nn.functional.softmax(scores, -1).matmul(v).view(batch, groups * queries, head));
    }

    private Tensor Random(params long[] sizes) => torch.randn(sizes, generator: _generator);

    private static Tensor New(params long[] sizes) => torch.zeros(sizes);

    private static Tensor Wide(Tensor x) => x.to(ScalarType.Float64);

    private static int Blocks(long units) => (int)((units + 63) / 64);

    private static IKernel Kernel(string name) => EmulatedKernels.Load(DecoderKernels.All.Source(ScalarType.Float32), name, torch.CPU);

    private void Check(string what, Tensor actual, Tensor expected)
    {
        var error = (Wide(actual) - expected).abs().max().ToDouble() / expected.abs().max().ToDouble();
        _output.WriteLine($"{what}: relative error {error:e2}, allowed {Tolerance:e1}");
        error.ShouldBeLessThan(Tolerance);
    }
}

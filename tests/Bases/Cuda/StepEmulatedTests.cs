using Qbb.Models.Decoder.Graph;
using Qbb.Tests.Emulation;
using F = TorchSharp.torch.nn.functional;

namespace Qbb.Bases.Tests.Cuda;

/// <summary>The source of step.cu on the CPU against tensor operations in double.</summary>
public class StepEmulatedTests
{
    private const ScalarType Half = ScalarType.Float16;

    [Theory]
    [InlineData(4, 2, 16, 8, 1, 0, true), InlineData(6, 1, 24, 8, 3, 5, false), InlineData(3, 3, 64, 32, 2, 0, false), InlineData(2, 2, 128, 64, 1, 9, true)]
    public void Attention_of_one_token_agrees_with_its_formula(int heads, int groups, int head, int pairs, int splits, int window, bool norms)
    {
        const int batch = 2, capacity = 40;
        using var scope = NewDisposeScope();
        var seed = (ulong)Environment.TickCount;
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        using var generator = new Generator(seed);
        Tensor Random(params long[] shape) => randn(shape, generator: generator).to(Half);
        int[] positions = [37, 12], starts = [0, 3];
        var (qkv, keys, values) = (Random(batch, heads + 2 * groups, head), Random(batch, groups, capacity, head), Random(batch, groups, capacity, head));
        var angles = randn([capacity, pairs], generator: generator);
        var (cos, sin) = (angles.cos().to(Half), angles.sin().to(Half));
        var (queryNorm, keyNorm) = norms ? (Random(head), Random(head)) : (null, (Tensor?)null);
        var y = full([batch, heads, head], double.NaN, Half, torch.CPU);
        var partial = full([batch, heads, splits, head + 2], double.NaN, ScalarType.Float32, torch.CPU);
        var expected = Expected(qkv, queryNorm, keyNorm, cos, sin, positions, starts, keys.clone(), values.clone(), heads, groups, window);

        var queries = StepKernels.QueriesOf(heads, groups);
        var source = StepKernels.SourceFor(false, head, queries);
        var scale = (float)(Math.Log2(Math.E) / Math.Sqrt(head));
        EmulatedKernels.Load(source, "attend", torch.CPU)
            .Launch(new(StepKernels.AttentionBlocks(heads, groups), splits * batch), 32 * StepKernels.Warps, StepKernels.AttentionBytes(head, queries),
                qkv, queryNorm, keyNorm, cos, sin, torch.tensor(positions.Select(p => (long)p).ToArray(), batch).to(ScalarType.Int32),
                torch.tensor(starts.Select(p => (long)p).ToArray(), batch).to(ScalarType.Int32),
                keys, values, y, partial, heads, groups, capacity, pairs, window, splits, scale, 1e-6f);
        if (splits > 1)
            EmulatedKernels.Load(source, "join", torch.CPU).Launch(heads * batch, (head + 31) / 32 * 32, 0, partial, y, splits);

        var actual = y.to(ScalarType.Float64).flatten().ToArray<double>();
        var wanted = expected.flatten().ToArray<double>();
        for (var k = 0; k < actual.Length; k++)
            actual[k].ShouldBe(wanted[k], 4e-3 * Math.Max(1, Math.Abs(wanted[k])), $"element {k}");
        // The new value lies in the cache.
        values.select(0, 1).select(0, 0).select(0, positions[1]).ToArray<System.Half>()[0].ShouldBe(qkv.select(0, 1).select(0, heads + groups).ToArray<System.Half>()[0]);
    }

    [Fact]
    public void Norm_gate_and_pick_agree_with_their_formulas()
    {
        const int rows = 3, size = 200;
        using var scope = NewDisposeScope();
        using var generator = new Generator((ulong)Environment.TickCount);
        var source = StepKernels.SourceFor(false, 8, 1);
        var (x, weight, y) = (randn([rows, size], generator: generator).to(Half), randn([size], generator: generator).to(Half), zeros([rows, size], Half));
        EmulatedKernels.Load(source, "rms_norm", torch.CPU).Launch(rows, 512, 64, x, weight, y, size, 1e-5f, 0);
        var wide = x.to(ScalarType.Float64);
        Close(y, wide * wide.square().mean([-1], keepdim: true).add(1e-5).rsqrt() * weight.to(ScalarType.Float64));

        var (both, gated) = (randn([rows, 2 * size], generator: generator).to(Half), zeros([rows, size], Half));
        EmulatedKernels.Load(source, "gate", torch.CPU).Launch(1, 256, 0, both, gated, size, rows * size / 8, 0);
        var (gate, up) = (both.narrow(1, 0, size).to(ScalarType.Float64), both.narrow(1, size, size).to(ScalarType.Float64));
        Close(gated, F.silu(gate) * up);

        var (ids, positions, history) = (zeros([rows], ScalarType.Int64), full([rows], 4, ScalarType.Int32, torch.CPU), zeros([rows, 8], ScalarType.Int32));
        x.narrow(0, 1, 1).fill_(0.5);
        x.narrow(0, 2, 1).narrow(1, 7, 1).fill_(double.NaN);
        EmulatedKernels.Load(source, "pick", torch.CPU).Launch(rows, 1024, 256, x, ids, positions, history, size, 8);
        ids.ToArray<long>().ShouldBe([x.narrow(0, 0, 1).argmax(1).ToArray<long>()[0], 0, 0]);
        positions.ToArray<int>().ShouldBe([5, 5, 5]);
        history.select(1, 5).contiguous().ToArray<int>().ShouldBe([(int)ids.ToArray<long>()[0], 0, -1]);
    }

    private static void Close(Tensor actual, Tensor expected)
    {
        var (a, b) = (actual.to(ScalarType.Float64).flatten().ToArray<double>(), expected.flatten().ToArray<double>());
        for (var k = 0; k < a.Length; k++)
            a[k].ShouldBe(b[k], 3e-3 * Math.Max(1, Math.Abs(b[k])), $"element {k}");
    }

    /// <summary>[batch, heads, head] in f64.</summary>
    private static Tensor Expected(
        Tensor qkv, Tensor? queryNorm, Tensor? keyNorm, Tensor cos, Tensor sin, int[] positions, int[] starts, Tensor keys, Tensor values,
        int heads, int groups, int window)
    {
        var rows = new List<Tensor>();
        for (var token = 0; token < positions.Length; token++)
        {
            var own = qkv.select(0, token).to(ScalarType.Float64);
            var at = positions[token] - starts[token];
            var query = Turn(Norm(own.narrow(0, 0, heads), queryNorm), cos, sin, at);
            var key = Turn(Norm(own.narrow(0, heads, groups), keyNorm), cos, sin, at);
            var first = window > 0 ? Math.Max(starts[token], positions[token] - window + 1) : starts[token];
            var count = positions[token] - first;
            var seenKeys = cat([keys.select(0, token).to(ScalarType.Float64).narrow(1, first, count), key.unsqueeze(1)], 1);
            var seenValues = cat([values.select(0, token).to(ScalarType.Float64).narrow(1, first, count), own.narrow(0, heads + groups, groups).unsqueeze(1)], 1);
            var repeat = heads / groups;
            var scores = seenKeys.repeat_interleave(repeat, 0).matmul(query.unsqueeze(2)) * (1 / Math.Sqrt(query.size(1)));
            rows.Add((F.softmax(scores, 1) * seenValues.repeat_interleave(repeat, 0)).sum(1));
        }
        return stack([.. rows]);
    }

    private static Tensor Norm(Tensor x, Tensor? weight) =>
        weight is null ? x : x * x.square().mean([-1], keepdim: true).add(1e-6).rsqrt() * weight.to(ScalarType.Float64);

    private static Tensor Turn(Tensor x, Tensor cos, Tensor sin, int position)
    {
        var (c, s) = (cos.select(0, position).to(ScalarType.Float64), sin.select(0, position).to(ScalarType.Float64));
        var pairs = c.size(0);
        var (a, b) = (x.narrow(1, 0, pairs), x.narrow(1, pairs, pairs));
        Tensor[] parts = [a * c - b * s, b * c + a * s, x.narrow(1, 2 * pairs, x.size(1) - 2 * pairs)];
        return cat(parts, 1);
    }
}

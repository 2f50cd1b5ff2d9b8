using Qbb.Bases.Cuda;
using Qbb.Cuda;

namespace Qbb.Bench.Gpu;

/// <summary>Measures products with binary bases on a GPU against cuBLAS and against the bandwidth of a copy, all in one run.</summary>
internal sealed class KernelBench(Device device, int? group)
{
    private static readonly (int Warps, int Stages, int Blocks)[] s_countVariants =
        [(4, 4, 4), (8, 2, 2), (8, 3, 2), (8, 4, 2), (8, 6, 2), (8, 3, 3), (8, 2, 4), (16, 2, 1), (16, 3, 1), (16, 4, 1), (16, 2, 2), (32, 2, 1)];

    private static readonly (bool Wide, int Warps, int Stages, int Slab, int Runs, int Cluster)[] s_selectVariants =
        [(true, 16, 2, 16, 3, 2), (true, 16, 2, 8, 3, 2), (true, 16, 4, 8, 3, 2), (true, 12, 3, 8, 4, 2), (false, 16, 4, 8, 2, 1), (false, 16, 2, 16, 3, 2), (false, 8, 4, 16, 5, 2), (false, 8, 5, 16, 5, 2), (false, 8, 5, 8, 5, 2), (false, 12, 3, 16, 4, 2)];

    private readonly GraphTimer _timer = new(device);

    /// <summary>Bytes read and written a second by a copy that no cache holds.</summary>
    public double CopyBytesPerSecond { get; private set; }

    // Queued as a model's own copies are, not as a node of a graph, which the driver may leave to a slower engine.
    public void MeasureCopy()
    {
        using var scope = torch.NewDisposeScope();
        const long bytes = 1L << 30;
        const int copies = 10;
        var (from, to) = (torch.zeros([bytes / 4], ScalarType.Int32, device), torch.zeros([bytes / 4], ScalarType.Int32, device));
        using CudaEvent start = new(device), end = new(device);
        var times = new double[21];
        for (var k = 0; k < times.Length; k++)
        {
            start.Record();
            for (var copy = 0; copy < copies; copy++)
                to.copy_(from);
            end.Record();
            times[k] = end.SecondsSince(start) / copies;
        }
        Array.Sort(times);
        CopyBytesPerSecond = 2 * bytes / times[times.Length / 2];
    }

    /// <summary>One shape: cuBLAS, then every number of bases and batch.</summary>
    public IEnumerable<KernelRow> Shape(int inFeatures, int outFeatures, IReadOnlyList<int> bases, IReadOnlyList<int> batches, bool variants)
    {
        foreach (var batch in batches)
        {
            var dense = Dense(inFeatures, outFeatures, batch);
            yield return new(inFeatures, outFeatures, batch, "cuBLAS fp16", 0, dense, 2L * inFeatures * outFeatures, dense, CopyBytesPerSecond);
            foreach (var count in bases)
                foreach (var row in Bases(inFeatures, outFeatures, count, batch, dense, variants))
                    yield return row;
        }
    }

    private double Dense(int inFeatures, int outFeatures, int batch)
    {
        using var scope = torch.NewDisposeScope();
        var copies = _timer.Copies(2L * inFeatures * outFeatures);
        var weights = Enumerable.Range(0, copies).Select(_ => torch.randn([outFeatures, inFeatures], ScalarType.Float16, device).t()).ToArray();
        var x = torch.randn([batch, inFeatures], ScalarType.Float16, device);
        var y = torch.zeros([batch, outFeatures], ScalarType.Float16, device);
        return _timer.Median(copies, k => torch.mm_out(x, weights[k], y));
    }

    private IEnumerable<KernelRow> Bases(int inFeatures, int outFeatures, int count, int batch, double dense, bool variants)
    {
        using var scope = torch.NewDisposeScope();
        var probe = Random(inFeatures, outFeatures, count);
        var copies = _timer.Copies(probe.Bytes);
        PackedBases[] weights = [probe, .. Enumerable.Range(1, copies - 1).Select(_ => Random(inFeatures, outFeatures, count))];
        var x = torch.randn([batch, inFeatures], ScalarType.Float16, device);
        var y = torch.zeros([batch, outFeatures], ScalarType.Float16, device);
        try
        {
            foreach (var (name, run) in Kernels(probe, batch, variants))
                yield return new(inFeatures, outFeatures, batch, name, count, _timer.Median(copies, k => run(weights[k], x, y)), probe.Bytes, dense, CopyBytesPerSecond);
        }
        finally
        {
            foreach (var weight in weights)
                weight.Dispose();
        }
    }

    private static IEnumerable<(string Name, Action<PackedBases, Tensor, Tensor> Run)> Kernels(PackedBases weight, int batch, bool variants)
    {
        var memory = SharedMemory.Of(weight.Words.device);
        if (CountProduct.Supports(weight, batch))
        {
            var chosen = CountProduct.ShapeFor(weight, batch, false);
            yield return ("count", (w, x, y) => CountProduct.Run(w, x, null, y, chosen));
            foreach (var (warps, stages, blocks) in variants ? s_countVariants : [])
            {
                var shape = chosen with { Warps = warps, Stages = stages, Blocks = blocks };
                if (memory.Holds(blocks, shape.SharedBytes(weight.InFeatures)))
                    yield return ($"count {warps} warps, {stages} stages, {blocks} blocks", (w, x, y) => CountProduct.Run(w, x, null, y, shape));
            }
        }
        if (!SelectProduct.Supports(weight, batch))
        {
            var scratch = new CudaProduct(weight).Scratch(ScalarType.Float16);
            yield return ("expanded tiles", (w, x, y) => new CudaProduct(w).Expand(x, y, scratch));
            yield break;
        }
        yield return ("select", (w, x, y) => SelectProduct.Run(w, x, null, y));
        foreach (var (wide, warps, stages, slab, runs, cluster) in variants ? s_selectVariants : [])
        {
            var shape = SelectProduct.ShapeFor(weight, batch, false, wide, cluster) with { Warps = warps, Stages = stages, Slab = slab, Runs = runs };
            if (memory.Holds(1, shape.SharedBytes))
                yield return ($"select {(wide ? "wide" : "narrow")}, {warps} warps, {stages} stages, slab {slab}, {cluster} blocks", (w, x, y) => SelectProduct.Run(w, x, null, y, shape));
        }
    }

    private PackedBases Random(int inFeatures, int outFeatures, int count) =>
        RandomPackedLoader.Draw(inFeatures, outFeatures, count, group ?? inFeatures, device);
}

/// <summary>One measured product.</summary>
/// <param name="InFeatures">Columns of the weight.</param>
/// <param name="OutFeatures">Rows of the weight.</param>
/// <param name="Batch">Tokens.</param>
/// <param name="Kernel">What was run.</param>
/// <param name="Bases">N; 0 for a dense weight.</param>
/// <param name="Seconds">Median of one product.</param>
/// <param name="Bytes">What it must read of the weight.</param>
/// <param name="Dense">Seconds of cuBLAS fp16 on the same shape in the same run.</param>
/// <param name="CopyBytesPerSecond">Copy bandwidth (read and write together) in the same run.</param>
internal sealed record KernelRow(
    int InFeatures, int OutFeatures, int Batch, string Kernel, int Bases, double Seconds, long Bytes, double Dense, double CopyBytesPerSecond)
{
    public double Speedup => Dense / Seconds;

    public double BytesPerSecond => Bytes / Seconds;

    public double ShareOfCopy => BytesPerSecond / CopyBytesPerSecond;
}

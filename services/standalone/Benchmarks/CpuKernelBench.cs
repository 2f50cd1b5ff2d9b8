using System.Diagnostics;
using Qbb.Bases;
using Qbb.Bases.Cpu;
using Qbb.Models.Generation;
using Qbb.Torch;

namespace Qbb.Standalone.Benchmarks;

/// <summary>
/// Times products of one layer on the CPU beside libtorch's in fp32. All that are compared take turns, run by run, so that a machine that
/// is shared slows them alike; between two runs of one kernel the others read hundreds of megabytes.
/// </summary>
internal sealed class CpuKernelBench(int outFeatures, int inFeatures, int groupSize, int repeats)
{
    /// <summary>Rows of the weight that are checked against the reference.</summary>
    private const int CheckedRows = 64;

    /// <summary>Bandwidth of reading plain memory, in GB/s, by threads.</summary>
    public Dictionary<int, double> ReadBandwidths { get; } = [];

    /// <summary>Measures all kernels of this processor.</summary>
    /// <param name="bases">The N to measure.</param>
    /// <param name="tokens">The batches to measure; batches of 64 and more are measured with the kernel of few instructions left out.</param>
    /// <param name="threads">The numbers of threads to measure.</param>
    /// <param name="progress">Told what is measured next.</param>
    /// <param name="cancel">Stops between measurements.</param>
    public IReadOnlyList<KernelFigure> Run(int[] bases, int[] tokens, int[] threads, Action<int, int, string> progress, CancellationToken cancel)
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var generator = new Generator(1);
        var plain = new float[(long)outFeatures * inFeatures];
        Array.Fill(plain, 0.5f);
        var weight = torch.from_array(plain, outFeatures, inFeatures);
        var figures = new List<KernelFigure>();
        var (done, total) = (0, bases.Length * tokens.Length * threads.Length);
        var before = torch.get_num_threads();
        try
        {
            foreach (var n in bases)
            {
                var random = RandomBases(n);
                foreach (var batch in tokens)
                {
                    var x = torch.randn([batch, inFeatures], generator);
                    foreach (var count in threads)
                    {
                        cancel.ThrowIfCancellationRequested();
                        progress(done++, total, $"N = {n}, {batch} tokens, {count} threads");
                        torch.set_num_threads(count);
                        figures.AddRange(Measure(random, plain, weight, x, count));
                    }
                }
            }
        }
        finally
        {
            torch.set_num_threads(before);
        }
        return figures;
    }

    private List<KernelFigure> Measure(BinaryBases bases, float[] plain, Tensor weight, Tensor x, int threads)
    {
        var tokens = (int)x.size(0);
        var bytes = 4L * outFeatures * inFeatures;
        var products = Products(threads, tokens).Select(p => (p.What, Product: new CpuProduct(bases, p.Options))).ToList();
        try
        {
            List<(string What, int Bases, long Bytes, Action Run)> runs =
            [
                ("libtorch fp32", 0, bytes, () => Dense(weight, x)),
                ("read only", 0, bytes, () => ReadBandwidth.Read(plain, threads)),
                .. products.Select(p => (p.What, bases.Count, p.Product.Bytes, (Action)(() => p.Product.forward(x).Dispose()))),
            ];
            var times = Times(runs.Select(run => run.Run).ToList(), tokens);
            ReadBandwidths[threads] = Math.Max(ReadBandwidths.GetValueOrDefault(threads), bytes / times[1][0] / 1e6);
            var median = times[0].Length / 2;
            return
            [
                .. runs.Select((run, k) => new KernelFigure(run.What, run.Bases, tokens, threads, run.Bytes, times[k][0], times[k][median],
                    times[0][median] / times[k][median], k < 2 ? null : Error(products[k - 2].Product, bases, x))).Where((_, k) => k != 1),
            ];
        }
        finally
        {
            foreach (var (_, product) in products)
                product.Dispose();
        }
    }

    private static IEnumerable<(string What, BasesProductOptions Options)> Products(int threads, int tokens)
    {
        foreach (var instructions in Enum.GetValues<CpuInstructions>().Where(CpuKernels.IsSupported).Reverse())
        {
            if (tokens > 1 && instructions == CpuInstructions.Portable)
                continue;
            yield return ($"{instructions} float".ToLowerInvariant(), new() { Instructions = instructions, Threads = threads });
            yield return ($"{instructions} integer".ToLowerInvariant(),
                new() { Instructions = instructions, Threads = threads, Integer = ActivationScale.Token });
        }
    }

    // As the decoder multiplies: a product of matrix and vector for one token, of matrices for more.
    private static void Dense(Tensor weight, Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        _ = x.size(0) == 1 ? weight.matmul(x.select(0, 0)) : torch.nn.functional.linear(x, weight);
    }

    /// <summary>Sorted times in ms of each run, taken in turns after one round that does not count.</summary>
    private double[][] Times(List<Action> runs, int tokens)
    {
        var rounds = tokens < 64 ? repeats : Math.Max(3, repeats / 8);
        var times = runs.Select(_ => new double[rounds]).ToArray();
        for (var round = -1; round < rounds; round++)
        {
            for (var k = 0; k < runs.Count; k++)
            {
                var watch = Stopwatch.StartNew();
                runs[k]();
                if (round >= 0)
                    times[k][round] = watch.Elapsed.TotalMilliseconds;
            }
        }
        foreach (var list in times)
            Array.Sort(list);
        return times;
    }

    private double Error(CpuProduct product, BinaryBases bases, Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        var y = product.forward(x.narrow(0, 0, 1)).to_array<float>();
        var few = new BinaryBases(bases.Count, CheckedRows, inFeatures, groupSize,
            [.. Enumerable.Range(0, bases.Count).SelectMany(i => bases.Planes.AsSpan(i * outFeatures * bases.WordsPerRow, CheckedRows * bases.WordsPerRow).ToArray())],
            [.. Enumerable.Range(0, bases.Count).SelectMany(i => bases.Alpha.AsSpan(i * outFeatures * bases.Groups, CheckedRows * bases.Groups).ToArray())],
            bases.Beta!.AsSpan(0, CheckedRows * bases.Groups).ToArray());
        var expected = new double[CheckedRows];
        ReferenceProduct.Multiply(few, x.narrow(0, 0, 1).to(ScalarType.Float64).to_array<double>(), expected);
        return Math.Sqrt(expected.Zip(y, (e, a) => (e - a) * (e - a)).Sum() / expected.Sum(e => e * e));
    }

    private BinaryBases RandomBases(int count)
    {
        var random = new SplitMix64((ulong)count);
        var groups = (inFeatures - 1) / Math.Min(groupSize, inFeatures) + 1;
        var planes = new uint[(long)count * outFeatures * SignPacking.WordsPerRow(inFeatures)];
        for (var k = 0; k < planes.Length; k++)
            planes[k] = (uint)random.Next();
        Half[] Scales(long length, double least) => [.. Enumerable.Range(0, checked((int)length)).Select(_ => (Half)(least + 0.02 * random.NextUniform()))];
        return new BinaryBases(count, outFeatures, inFeatures, groupSize, planes,
            Scales((long)count * outFeatures * groups, 0.001), Scales((long)outFeatures * groups, -0.01));
    }
}

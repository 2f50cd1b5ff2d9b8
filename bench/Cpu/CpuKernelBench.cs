using System.Diagnostics;
using System.Runtime.Intrinsics.X86;
using Qbb.Bases;
using Qbb.Bases.Cpu;
using Qbb.Bench.Cpu.Ladder;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Recipes;

namespace Qbb.Bench.Cpu;

/// <summary>
/// Times products of one layer on the CPU beside those of the decoder's plain layer in fp32. All that are compared take turns, run by run,
/// so that a machine that is shared slows them alike; between two runs of one kernel the others read hundreds of megabytes.
/// </summary>
/// <param name="outFeatures">Rows.</param>
/// <param name="inFeatures">Columns.</param>
/// <param name="groupSize">Columns that share a scale.</param>
/// <param name="repeats">Timed runs of each figure.</param>
/// <param name="ladder">Also time what was tried and not taken, for one token on one thread.</param>
internal sealed class CpuKernelBench(int outFeatures, int inFeatures, int groupSize, int repeats, bool ladder)
{
    /// <summary>Rows of the weight that are checked against the reference.</summary>
    private const int CheckedRows = 64;

    /// <summary>Bandwidth of reading plain memory, in GB/s, by threads.</summary>
    public Dictionary<int, double> ReadBandwidths { get; } = [];

    /// <summary>Measures all kernels of this processor.</summary>
    /// <param name="bases">The N to measure.</param>
    /// <param name="tokens">The batches to measure; plain code is measured with one token only.</param>
    /// <param name="threads">The numbers of threads to measure.</param>
    /// <param name="progress">Told what is measured next.</param>
    /// <param name="cancel">Stops between measurements.</param>
    public IReadOnlyList<KernelFigure> Run(
        int[] bases, int[] tokens, int[] threads, Action<int, int, string> progress, CancellationToken cancel)
    {
        if (tokens.FirstOrDefault(count => count < 1, 1) is < 1 and var few)
            throw new InvalidInputException($"--tokens is {few}; it must be at least 1");
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var generator = new Generator(1);
        var plain = new float[(long)outFeatures * inFeatures];
        Array.Fill(plain, 0.5f);
        using var weight = new DenseLinear(torch.from_array(plain, outFeatures, inFeatures), null, transposed: false);
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
                    var x = torch.randn([batch, inFeatures], generator: generator);
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

    private List<KernelFigure> Measure(BinaryBases bases, float[] plain, DenseLinear weight, Tensor x, int threads)
    {
        var tokens = (int)x.size(0);
        var bytes = 4L * outFeatures * inFeatures;
        var products = Products(threads, tokens).Select(p => (p.What, Product: new CpuProduct(bases, p.Options))).ToList();
        var steps = ladder && tokens == 1 && threads == 1 ? Steps(bases) : [];
        try
        {
            List<(string What, int Bases, long Bytes, Action Run)> runs =
            [
                ("libtorch fp32", 0, bytes, () => weight.forward(x).Dispose()),
                ("read only", 0, bytes, () => ReadBandwidth.Read(plain, threads)),
                .. products.Select(p => (p.What, bases.Count, p.Product.Bytes, (Action)(() => p.Product.forward(x).Dispose()))),
                .. steps.Select(step => (step.Name, bases.Count, step.Bytes, (Action)(() => Multiply(step, x).Dispose()))),
            ];
            var times = Times(runs.Select(run => run.Run).ToList(), tokens);
            ReadBandwidths[threads] = Math.Max(ReadBandwidths.GetValueOrDefault(threads), bytes / times[1][0] / 1e6);
            var median = times[0].Length / 2;
            return
            [
                .. runs.Select((run, k) => new KernelFigure(run.What, run.Bases, tokens, threads, run.Bytes, times[k][0], times[k][median],
                    times[0][median] / times[k][median], k < 2 ? null : Error(Outputs(k - 2), bases, x))).Where((_, k) => k != 1),
            ];
        }
        finally
        {
            foreach (var (_, product) in products)
                product.Dispose();
        }

        Tensor Outputs(int index) => index < products.Count ? products[index].Product.forward(x) : Multiply(steps[index - products.Count], x);
    }

    private List<LadderStep> Steps(BinaryBases bases)
    {
        if (groupSize != LadderStep.Group || inFeatures % groupSize != 0 || outFeatures % 32 != 0)
            throw new InvalidInputException($"the ladder is for groups of {LadderStep.Group} that divide --in, and --out a multiple of 32");
        var steps = new List<LadderStep>();
        if (Avx512BW.IsSupported)
            steps.AddRange([new SignFlips(bases), new MaskedAdds(bases), new RegisterTables(bases)]);
        if (AvxVnni.IsSupported)
            steps.Add(new DotProducts(bases));
        if (Avx2.IsSupported)
            steps.Add(new ByteTables(bases));
        return steps;
    }

    private static unsafe Tensor Multiply(LadderStep step, Tensor x)
    {
        var y = torch.empty([1, step.Rows]);
        fixed (float* from = x.AsSpan<float>(), to = y.AsSpan<float>())
            step.Multiply(from, to);
        return y;
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

    private double Error(Tensor outputs, BinaryBases bases, Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        using var all = outputs;
        var y = all.narrow(0, 0, 1).ToArray<float>();
        var few = new BinaryBases(
            bases.Count, CheckedRows, inFeatures, groupSize, FirstRows(bases.Planes, bases.Count), FirstRows(bases.Alpha, bases.Count),
            FirstRows(bases.Beta!, 1));
        var expected = new double[CheckedRows];
        ReferenceProduct.Multiply(few, x.narrow(0, 0, 1).to(ScalarType.Float64).ToArray<double>(), expected);
        return Math.Sqrt(expected.Zip(y, (e, a) => (e - a) * (e - a)).Sum() / expected.Sum(e => e * e));
    }

    /// <summary>The first rows of each of so many matrices.</summary>
    private T[] FirstRows<T>(T[] matrices, int count)
    {
        var length = matrices.Length / count;
        return [.. Enumerable.Range(0, count).SelectMany(
            k => matrices.AsSpan(k * length, length / outFeatures * CheckedRows).ToArray())];
    }

    private BinaryBases RandomBases(int count)
    {
        var random = new SplitMix64((ulong)count);
        var groups = (inFeatures - 1) / Math.Min(groupSize, inFeatures) + 1;
        var planes = new uint[(long)count * outFeatures * SignPacking.WordsPerRow(inFeatures)];
        for (var k = 0; k < planes.Length; k++)
            planes[k] = (uint)random.Next();
        Half[] Scales(long length, double least) =>
            [.. Enumerable.Range(0, checked((int)length)).Select(_ => (Half)(least + 0.02 * random.NextUniform()))];
        return new BinaryBases(count, outFeatures, inFeatures, groupSize, planes,
            Scales((long)count * outFeatures * groups, 0.001), Scales((long)outFeatures * groups, -0.01));
    }
}

/// <summary>Times of one way to calculate a product.</summary>
/// <param name="What">The kernel.</param>
/// <param name="Bases">N; 0 for plain weights.</param>
/// <param name="Tokens">Tokens of the product.</param>
/// <param name="Threads">Threads.</param>
/// <param name="Bytes">Bytes of weights that are read.</param>
/// <param name="Best">Shortest time in ms.</param>
/// <param name="Median">Median time in ms.</param>
/// <param name="Speedup">The median of libtorch's fp32 product of the same tokens and threads over this one.</param>
/// <param name="Error">Relative error against the reference in double; null where it is not checked.</param>
internal sealed record KernelFigure(
    string What, int Bases, int Tokens, int Threads, long Bytes, double Best, double Median, double Speedup, double? Error)
{
    /// <summary>GB of weights read in a second, in the shortest run.</summary>
    public double Bandwidth => Bytes / Best / 1e6;
}

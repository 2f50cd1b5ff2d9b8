using Qbb.Bases.Cpu;

namespace Qbb.Bases.Tests.Cpu;

public class LookupProductTests
{
    /// <summary>Of Σ|α x| + |β Σx|, the sum that no rounding of single precision exceeds by much.</summary>
    private const double Tolerance = 2e-6;

    private const int MostTokens = 9;

    // Rows, columns, group: nothing is a multiple of anything in most of them.
    private static readonly (int Rows, int Columns, int Group)[] Shapes =
    [
        (1, 1, 1), (17, 33, 7), (5, 31, int.MaxValue), (37, 200, 128), (70, 129, 64), (16, 256, 32), (50, 300, int.MaxValue),
        (33, 523, 300), (23, 777, 128), (9, 1000, 100), (130, 64, 32),
    ];

    public static TheoryData<CpuInstructions, ActivationScale?> Kernels
    {
        get
        {
            var data = new TheoryData<CpuInstructions, ActivationScale?>();
            foreach (var instructions in Enum.GetValues<CpuInstructions>())
                foreach (var scale in new ActivationScale?[] { null, ActivationScale.Token, ActivationScale.Group })
                    data.Add(instructions, scale);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Every_kernel_agrees_with_the_reference(CpuInstructions instructions, ActivationScale? scale)
    {
        Assert.SkipUnless(CpuKernels.IsSupported(instructions), $"this processor has no {instructions}");
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        var worst = 0.0;
        foreach (var (rows, columns, group) in Shapes)
        {
            for (var count = 1; count <= BinaryBases.MostBases; count++)
            {
                var bases = RandomBases.Create(random.Next(), count, rows, columns, group, bias: random.Next(2) == 0);
                var x = RandomBases.Vector(random.Next(), MostTokens * columns).Select(value => (float)value).ToArray();
                var seen = scale is null ? x : Rounded(x, bases, scale.Value);
                var expected = new double[MostTokens * rows];
                ReferenceProduct.Multiply(bases, [.. seen.Select(value => (double)value)], expected);
                using var packed = PackedBases.Pack(bases);
                var product = new LookupProduct(packed, instructions, scale);
                for (var tokens = 1; tokens <= MostTokens; tokens++)
                {
                    var y = Multiply(product, x, tokens, rows, columns, threads: 1 + tokens % 3);
                    for (var k = 0; k < y.Length; k++)
                    {
                        var error = Math.Abs(y[k] - expected[k]) / Magnitude(bases, k % rows, x.AsSpan(k / rows * columns, columns));
                        worst = Math.Max(worst, double.IsNaN(error) ? double.PositiveInfinity : error);
                    }
                }
            }
        }
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}: largest error {worst:e2}, tolerance {Tolerance:e2}");
        worst.ShouldBeLessThan(Tolerance);
    }

    [Fact]
    public unsafe void Expanded_tiles_agree_with_the_reference_for_any_number_of_tokens()
    {
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        var worst = 0.0;
        using var panel = new AlignedBuffer(ExpandedProduct.PanelFloats * sizeof(float));
        foreach (var (rows, columns, group) in Shapes)
        {
            for (var count = 1; count <= BinaryBases.MostBases; count++)
            {
                var bases = RandomBases.Create(random.Next(), count, rows, columns, group, bias: random.Next(2) == 0);
                var tokens = 1 + random.Next(40);
                var x = RandomBases.Vector(random.Next(), tokens * columns).Select(value => (float)value).ToArray();
                var expected = new double[tokens * rows];
                ReferenceProduct.Multiply(bases, [.. x.Select(value => (double)value)], expected);
                using var packed = PackedBases.Pack(bases);
                var stride = packed.Layout.PaddedRows;
                foreach (var wide in new[] { false, true })
                {
                    var y = Enumerable.Repeat(float.NaN, tokens * stride).ToArray();
                    var split = random.Next(packed.Layout.Tiles + 1);
                    fixed (float* from = x, to = y)
                    {
                        ExpandedProduct.Multiply(packed, from, columns, tokens, to, stride, 0, split, (float*)panel.Pointer, wide);
                        ExpandedProduct.Multiply(packed, from, columns, tokens, to, stride, split, packed.Layout.Tiles, (float*)panel.Pointer, wide);
                    }
                    for (var k = 0; k < expected.Length; k++)
                    {
                        var error = Math.Abs(y[k / rows * stride + k % rows] - expected[k]) / Magnitude(bases, k % rows, x.AsSpan(k / rows * columns, columns));
                        worst = Math.Max(worst, double.IsNaN(error) ? double.PositiveInfinity : error);
                    }
                }
            }
        }
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}: largest error {worst:e2}, tolerance {Tolerance:e2}");
        worst.ShouldBeLessThan(Tolerance);
    }

    [Fact]
    public unsafe void Byte_tables_are_off_by_less_than_one_in_ten_thousand_and_expand_exactly()
    {
        Assert.SkipUnless(CpuKernels.IsSupported(CpuInstructions.Avx2), "this processor has no AVX2");
        const double rounded = 1e-4;
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        double worst = 0, worstExpanded = 0;
        using var panel = new AlignedBuffer(ExpandedProduct.PanelFloats * sizeof(float));
        foreach (var (rows, columns, group) in Shapes)
        {
            for (var count = 1; count <= BinaryBases.MostBases; count++)
            {
                var bases = RandomBases.Create(random.Next(), count, rows, columns, group, bias: random.Next(2) == 0);
                var tokens = 1 + random.Next(9);
                var x = RandomBases.Vector(random.Next(), tokens * columns).Select(value => (float)value).ToArray();
                var expected = new double[tokens * rows];
                ReferenceProduct.Multiply(bases, [.. x.Select(value => (double)value)], expected);
                var layout = new TileLayout(count, rows, columns, bases.GroupSize, bases.HasBias);
                using var memory = new AlignedBuffer(ByteTiles.SizeOf(layout));
                var packed = new ByteTiles(layout, memory.Pointer);
                packed.Fill(bases);
                var (stride, split) = (packed.Tiles * ByteTiles.Rows, random.Next(packed.Tiles + 1));
                var (looked, expanded) = (new float[tokens * stride], new float[tokens * stride]);
                var tableBytes = (long)layout.Words * ByteKernel.TableBytesPerWord;
                using var tables = new AlignedBuffer(tokens * tableBytes);
                using var padded = new AlignedBuffer(layout.Words * TileLayout.WordColumns * sizeof(float));
                var (sums, steps) = (new float[tokens * layout.Segments.Length], new float[tokens * layout.Segments.Length]);
                fixed (float* from = x, to = looked, other = expanded, sum = sums, step = steps)
                {
                    for (var token = 0; token < tokens; token++)
                    {
                        var first = token * layout.Segments.Length;
                        LookupProduct.Pad(layout, x.AsSpan(token * columns, columns), (float*)padded.Pointer, sums.AsSpan(first, layout.Segments.Length));
                        ByteKernel.Build(layout, (float*)padded.Pointer, tables.Pointer + token * tableBytes, steps.AsSpan(first, layout.Segments.Length));
                    }
                    ByteKernel.Run(packed, tokens, tables.Pointer, tableBytes, step, sum, to, stride, 0, split);
                    ByteKernel.Run(packed, tokens, tables.Pointer, tableBytes, step, sum, to, stride, split, packed.Tiles);
                    ExpandedProduct.Multiply(packed, from, columns, tokens, other, stride, 0, packed.Tiles, (float*)panel.Pointer, wide: random.Next(2) == 0);
                }
                for (var k = 0; k < expected.Length; k++)
                {
                    var magnitude = Magnitude(bases, k % rows, x.AsSpan(k / rows * columns, columns));
                    var place = k / rows * stride + k % rows;
                    worst = Math.Max(worst, Error(looked[place], expected[k], magnitude));
                    worstExpanded = Math.Max(worstExpanded, Error(expanded[place], expected[k], magnitude));
                }
            }
        }
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}: largest error {worst:e2}, tolerance {rounded:e2}; expanded {worstExpanded:e2}, tolerance {Tolerance:e2}");
        worst.ShouldBeLessThan(rounded);
        worstExpanded.ShouldBeLessThan(Tolerance);

        static double Error(float actual, double expected, double magnitude) => float.IsNaN(actual) ? double.PositiveInfinity : Math.Abs(actual - expected) / magnitude;
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_layer_of_real_size_is_far_inside_one_in_a_thousand(CpuInstructions instructions, ActivationScale? scale)
    {
        Assert.SkipUnless(CpuKernels.IsSupported(instructions), $"this processor has no {instructions}");
        var seed = Random.Shared.Next();
        const int rows = 200, columns = 4096;
        var bases = RandomBases.Create(seed, 4, rows, columns, 128, bias: true);
        var x = RandomBases.Vector(seed + 1, columns).Select(value => (float)value).ToArray();
        var expected = new double[rows];
        ReferenceProduct.Multiply(bases, [.. x.Select(value => (double)value)], expected);
        using var packed = PackedBases.Pack(bases);
        var y = Multiply(new LookupProduct(packed, instructions, scale), x, 1, rows, columns, threads: 2);
        var error = Math.Sqrt(expected.Zip(y, (e, a) => (e - a) * (e - a)).Sum() / expected.Sum(e => e * e));
        // int8 rounds inputs of −1 to 1 to steps of 1/127, whose error is 0.4 % of their root mean square.
        var tolerance = scale is null ? 1e-5 : 1e-2;
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}: relative error {error:e2}, tolerance {tolerance:e2}");
        error.ShouldBeLessThan(tolerance);
    }

    [Fact]
    public void Integer_sums_are_the_same_on_every_kernel()
    {
        var seed = Random.Shared.Next();
        var bases = RandomBases.Create(seed, 3, 77, 515, 100, bias: true);
        var x = RandomBases.Vector(seed + 1, 5 * 515).Select(value => (float)value).ToArray();
        using var packed = PackedBases.Pack(bases);
        var results = Enum.GetValues<CpuInstructions>().Where(CpuKernels.IsSupported)
            .Select(kind => Multiply(new LookupProduct(packed, kind, ActivationScale.Token), x, 5, 77, 515, threads: 2)).ToList();
        // The sums are integers and exact; only the additions of their scaled values may round in another order.
        var largest = results[0].Max(MathF.Abs);
        foreach (var other in results.Skip(1))
            results[0].Zip(other, (a, b) => Math.Abs(a - b)).Max().ShouldBeLessThan(1e-6f * largest, $"seed {seed}");
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Threads_do_not_change_a_bit(CpuInstructions instructions, ActivationScale? scale)
    {
        Assert.SkipUnless(CpuKernels.IsSupported(instructions), $"this processor has no {instructions}");
        var seed = Random.Shared.Next();
        const int rows = 1000, columns = 1100;
        var bases = RandomBases.Create(seed, 2, rows, columns, 64, bias: true);
        var x = RandomBases.Vector(seed + 1, 6 * columns).Select(value => (float)value).ToArray();
        using var packed = PackedBases.Pack(bases);
        var product = new LookupProduct(packed, instructions, scale);
        var one = Multiply(product, x, 6, rows, columns, threads: 1);
        foreach (var threads in new[] { 2, 3, 7 })
            Multiply(product, x, 6, rows, columns, threads).ShouldBe(one, $"seed {seed}, {threads} threads");
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void An_input_that_is_not_finite_is_not_hidden(CpuInstructions instructions, ActivationScale? scale)
    {
        Assert.SkipUnless(CpuKernels.IsSupported(instructions), $"this processor has no {instructions}");
        var bases = RandomBases.Create(3, 2, 20, 70, 32, bias: true);
        using var packed = PackedBases.Pack(bases);
        foreach (var bad in new[] { float.NaN, float.PositiveInfinity })
        {
            var x = new float[70];
            x[40] = bad;
            Multiply(new LookupProduct(packed, instructions, scale), x, 1, 20, 70, threads: 1)
                .ShouldAllBe(value => !float.IsFinite(value));
        }
    }

    [Fact]
    public void Inputs_of_zero_give_zero()
    {
        var bases = RandomBases.Create(3, 2, 20, 70, 32, bias: true);
        using var packed = PackedBases.Pack(bases);
        foreach (var scale in new ActivationScale?[] { null, ActivationScale.Token, ActivationScale.Group })
            Multiply(new LookupProduct(packed, CpuKernels.Best, scale), new float[70], 1, 20, 70, threads: 1).ShouldAllBe(value => value == 0);
    }

    private static unsafe float[] Multiply(LookupProduct product, float[] x, int tokens, int rows, int columns, int threads)
    {
        // Whatever a kernel forgets to write shows as NaN.
        const int scratchBytes = 1 << 20;
        new Span<float>(TokenScratch.Begin(scratchBytes).Take<float>(scratchBytes / sizeof(float)), scratchBytes / sizeof(float)).Fill(float.NaN);
        var y = new float[tokens * rows];
        Array.Fill(y, float.NaN);
        fixed (float* input = x, output = y)
            product.Multiply(input, output, tokens, threads);
        return y;
    }

    private static double Magnitude(BinaryBases bases, int row, ReadOnlySpan<float> x)
    {
        var sum = 1e-30;
        for (var column = 0; column < x.Length; column++)
        {
            var group = column / bases.GroupSize;
            var scales = Math.Abs((double)bases.Bias(row, group));
            for (var basis = 0; basis < bases.Count; basis++)
                scales += Math.Abs((double)bases.Scale(basis, row, group));
            sum += scales * Math.Abs(x[column]);
        }
        return sum;
    }

    /// <summary>Inputs as int8 sees them, calculated plainly.</summary>
    private static float[] Rounded(float[] x, BinaryBases bases, ActivationScale scale)
    {
        var columns = bases.InFeatures;
        var length = scale == ActivationScale.Token ? columns : bases.GroupSize;
        var result = new float[x.Length];
        for (var token = 0; token < x.Length / columns; token++)
        {
            for (var first = 0; first < columns; first += length)
            {
                var part = x.AsSpan(token * columns + first, Math.Min(length, columns - first));
                var step = 0f;
                foreach (var value in part)
                    step = Math.Max(step, Math.Abs(value) / 127);
                for (var k = 0; k < part.Length; k++)
                    result[token * columns + first + k] = step == 0 ? 0 : MathF.Round(part[k] / step) * step;
            }
        }
        return result;
    }
}

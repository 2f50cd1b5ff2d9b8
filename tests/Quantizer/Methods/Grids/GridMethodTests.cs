using Qbb.Bases;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Grids;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Quantizer.Tests.Methods.OutputAware;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.Grids;

/// <summary>Layers under the grids of targets.</summary>
public class GridMethodTests
{
    public static TheoryData<string> Grids => [.. Target.All.Where(target => new Recipe().For(target).IsOnGrid).Select(target => target.Name)];

    [Theory]
    [MemberData(nameof(Grids))]
    public void Rounded_steps_and_minima_make_levels_that_every_order_of_sums_in_fp32_gives(string name)
    {
        var template = Target.Parse(name);
        foreach (var bases in template.Widths ?? [template.Bases])
            CheckLevels(new Recipe { Bases = bases }.For(template));
    }

    [Fact]
    public void Without_a_bias_the_zero_point_is_in_the_middle()
    {
        foreach (var bases in Target.Parse("gptq").Widths!)
        {
            var recipe = new Recipe { Bases = bases, Bias = false }.For(Target.Parse("gptq"));
            LevelGrid.Of(recipe)!.Lowest.ShouldBe(-(1 << (bases - 1)));
            CheckLevels(recipe);
        }
    }

    private static void CheckLevels(Recipe recipe)
    {
        var (target, random) = (recipe.Target!.At(recipe), new Random(7));
        var grid = LevelGrid.Of(recipe)!;
        Span<double> alpha = stackalloc double[target.Bases];
        for (var trial = 0; trial < 10_000; trial++)
        {
            // Seed 7; magnitudes from fp16's subnormals to its end, and minima from far below the step to far above it.
            var step = Math.ScaleB(random.NextDouble() - 0.5, random.Next(-26, 8));
            var minimum = random.Next(8) == 0 ? 0 : step * Math.ScaleB(random.NextDouble() - 0.5, random.Next(-20, 20));
            grid.Write(new(step, Math.Clamp(minimum, -60000, 60000)), alpha, out var beta);
            var scales = grid.Read(alpha, beta);
            var (d, m) = ((float)(Half)scales.Step, grid.HasZeros ? (float)scales.Minimum : (float)(Half)scales.Minimum);
            if (grid.HasZeros)
            {
                var zero = grid.ZeroOf(scales);
                ((double)(Half)zero).ShouldBe(zero);
                // As HQQ subtracts.
                for (var q = 0; q <= grid.MostLevel; q++)
                    ((double)(Half)(q - zero)).ShouldBe(q - zero);
            }
            ((double)d).ShouldBe(scales.Step);
            if (grid.IsFree)
                ((double)m).ShouldBe(scales.Minimum);
            for (var q = target.LeastLevel; q <= grid.MostLevel; q++)
            {
                var expected = grid.IsFree ? d * q + m : d * (q + grid.Lowest);
                var (up, down) = ((float)beta, 0f);
                for (var basis = 0; basis < alpha.Length; basis++)
                    up += (grid.CodeOf(q) >> basis & 1) == 1 ? (float)alpha[basis] : -(float)alpha[basis];
                for (var basis = alpha.Length - 1; basis >= 0; basis--)
                    down += (grid.CodeOf(q) >> basis & 1) == 1 ? (float)alpha[basis] : -(float)alpha[basis];
                up.ShouldBe(expected, $"step {d}, minimum {m}, q {q}");
                (down + (float)beta).ShouldBe(expected);
                scales.Level(q).ShouldBe(expected);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Grids))]
    public void Weights_on_the_grid_are_found_again(string name)
    {
        var target = Target.Parse(name);
        var grid = LevelGrid.Of(new Recipe().For(target))!;
        var random = new Random(11);
        const int Rows = 6;
        var columns = 2 * target.Group;
        var values = new float[Rows * columns];
        for (var place = 0; place < values.Length; place += target.Group)
        {
            var scales = grid.Round(new((random.NextDouble() + 0.1) * 0.01, grid.IsFree ? -0.05 * random.NextDouble() : 0));
            for (var j = 0; j < target.Group; j++)
            {
                var q = j switch { 0 => target.LeastLevel, 1 => grid.MostLevel, _ => random.Next(target.LeastLevel, grid.MostLevel + 1) };
                values[place + j] = (float)scales.Level(q);
            }
        }
        var result = new GridMethod(new Recipe().For(target)).Quantize(new LayerWeights("w", Rows, columns, values));
        var found = new float[values.Length];
        result.Weight.Dequantize(0, Rows, found);
        found.ShouldBe(values);
        result.Report.SquaredError.ShouldBe(0);
    }

    [Theory]
    [MemberData(nameof(Grids))]
    public void A_group_is_near_the_best_of_many_steps(string name)
    {
        var target = Target.Parse(name);
        var grid = LevelGrid.Of(new Recipe().For(target))!;
        var w = Synthetic.StudentT5(40 * target.Group, 5);
        var importance = Array.ConvertAll(Synthetic.Gaussian(target.Group, 6), value => 0.1 + value * value);
        var fit = new GridFit(grid, 15, target.Group);
        double total = 0, best = 0;
        for (var first = 0; first < w.Length; first += target.Group)
        {
            var group = w.AsSpan(first, target.Group).ToArray();
            total += Error(fit.Fit(group, importance), group);
            best += Searched(group);
        }
        TestContext.Current.TestOutputHelper!.WriteLine($"{name}: fitted {total:g5}, searched {best:g5}");
        // At 8 bits the error jumps from step to step, and the best of 400 has luck.
        total.ShouldBeLessThan((target.Bases == 8 ? 1.4 : 1.03) * best);

        double Error(GridScales scales, float[] group) =>
            group.Select((value, j) => importance[j] * Math.Pow(value - scales.Level(grid.Nearest(scales, value)), 2)).Sum();

        // Every step of a fine range, with the minima of a coarser one.
        double Searched(float[] group)
        {
            var (least, found) = (group.Min(), double.PositiveInfinity);
            var span = group.Max() - least;
            var reach = group.Max(Math.Abs);
            for (var k = 1; k <= 200; k++)
            {
                if (!grid.IsFree)
                {
                    foreach (var sign in new[] { -1, 1 })
                    {
                        var step = sign * reach * k / 100.0 / Math.Max(-grid.Lowest, grid.MostLevel + grid.Lowest);
                        found = Math.Min(found, Error(new(step, step * grid.Lowest), group));
                    }
                    continue;
                }
                for (var offset = 0; k <= 110 && offset < 20; offset++)
                    found = Math.Min(found, Error(grid.Snap(new(span * k / 100.0 / grid.MostLevel, least + span * offset / 40.0)), group));
            }
            return found;
        }
    }

    [Theory]
    [MemberData(nameof(Grids))]
    public void Output_aware_steps_stay_on_the_grid_and_never_raise_the_objective(string name)
    {
        var target = Target.Parse(name);
        var layer = Correlated(24, 2 * target.Group + 128);
        var recipe = new Recipe { Importance = Importance.Full }.For(target);
        var result = new OutputAwareMethod(recipe, threads: 2).Quantize(layer);
        var steps = result.Report.Output!.AfterStep;
        for (var step = 1; step < steps.Count; step++)
            steps[step].ShouldBeLessThanOrEqualTo(steps[step - 1]);
        var alone = new GridMethod(recipe with { Importance = Importance.Diag }).Quantize(layer);
        var (aware, weighted) = (Objective(layer, result), Objective(layer, alone));
        TestContext.Current.TestOutputHelper!.WriteLine($"{name}: {string.Join(" ", steps.Select(step => $"{step:g4}"))}; weighted alone {weighted:g4}");
        aware.ShouldBeLessThan(0.9 * weighted);
        aware.ShouldBe(steps[^1], 1e-6 * steps[0]);

        var bases = (BinaryBases)result.Weight;
        bases.Steps.ShouldNotBeNull();
        var expanded = new float[layer.Values.Length];
        bases.Dequantize(0, layer.OutFeatures, expanded);
        for (var place = 0; place < expanded.Length; place++)
        {
            var d = (float)bases.Steps[place / target.Group];
            var lowest = bases.Zeros is { } zeros ? -(float)zeros[place / target.Group] * d : bases.Minima is { } minima ? (float)minima[place / target.Group] : bases.Lowest!.Value * d;
            var q = d == 0 ? target.LeastLevel : MathF.Round((expanded[place] - lowest) / d);
            q.ShouldBeInRange(target.LeastLevel, (1 << target.Bases) - 1);
            expanded[place].ShouldBe(d * q + lowest);
        }
        new OutputAwareMethod(recipe, threads: 1).Quantize(layer).Report.Output!.AfterStep.ShouldBe(steps);
    }

    [Fact]
    public void Zero_and_constant_groups_are_exact_and_weights_beyond_fp16_are_refused()
    {
        var values = new float[2 * 64];
        values.AsSpan(64).Fill(0.375f);
        foreach (var target in Target.All.Where(target => target.Group == 32 && target.Minimum.IsFree))
        {
            var result = new GridMethod(new Recipe().For(target)).Quantize(new LayerWeights("w", 2, 64, values));
            result.Report.SquaredError.ShouldBe(0);
        }
        Array.Fill(values, 1e7f);
        values[0] = -1e7f;
        Should.Throw<Contracts.InvalidInputException>(
            () => new GridMethod(new Recipe().For(Target.Parse("gguf-q4_1"))).Quantize(new LayerWeights("w", 2, 64, values))).Message.ShouldContain("65504");
    }

    /// <summary>Weights and inputs that lean on one another.</summary>
    private static LayerWeights Correlated(int rows, int columns)
    {
        var inputs = new InputStatistics(columns);
        var (x, common) = (Synthetic.Gaussian(600 * columns, 3), Synthetic.Gaussian(600, 4));
        for (var place = 0; place < x.Length; place++)
            x[place] = (x[place] + 2 * common[place / columns]) * (1 + place % columns % 7);
        inputs.Add(torch.tensor(x, 600, columns));
        return new LayerWeights("w", rows, columns, Synthetic.StudentT5(rows * columns, 9)) { Inputs = inputs };
    }

    private static double Objective(LayerWeights layer, LayerResult result)
    {
        var expanded = new float[layer.Values.Length];
        result.Weight.Dequantize(0, layer.OutFeatures, expanded);
        var matrix = Curvature.Of(layer.Inputs!, "w").Matrix;
        var sum = 0.0;
        for (var row = 0; row < layer.OutFeatures; row++)
        {
            var e = layer.Row(row).ToArray().Select((value, column) => (double)value - expanded[row * layer.InFeatures + column]).ToArray();
            sum += ReferenceSteps.Objective(e, matrix);
        }
        return sum;
    }
}

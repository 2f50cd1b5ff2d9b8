using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.Grids;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Quantizer.Methods.Rounding;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Methods.OutputAware;

/// <summary>Every step against its plain form, and against the libraries that the method took it from.</summary>
public class StepsTests
{
    private const int Group = 60;

    public static TheoryData<string> ReferenceLayers => new(ReferenceLayer.Names);

    /// <summary>
    /// Their uniform levels, their loop: what differs is the order of sums, where a flipped rounding spreads to the columns that follow.
    /// </summary>
    [Theory]
    [MemberData(nameof(ReferenceLayers))]
    public void Column_feedback_on_uniform_levels_reaches_the_objective_of_GPTQ_with_act_order(string name)
    {
        var layer = new ReferenceLayer(name);
        var curvature = Curvature.Of(layer.Weights.Inputs!, name);
        for (var bits = 2; bits <= 4; bits++)
        {
            var block = new RowBlock(layer.Rows, layer.Columns, 128, bits, true) { Rows = layer.Rows };
            for (var row = 0; row < layer.Rows; row++)
            {
                for (var group = 0; group < block.Groups; group++)
                {
                    var (first, length) = block.ColumnsOf(group);
                    var (low, high) = RtnGrid.Range(layer.Weights.Row(row).Slice(first, length));
                    var grid = RtnGrid.Over(low, high, bits);
                    for (var basis = 0; basis < bits; basis++)
                        block.AlphaOf(row, group)[basis] = grid.Scale * (1 << basis) / 2.0;
                    block.Beta[row * block.Groups + group] = (grid.Largest / 2.0 - grid.Zero) * grid.Scale;
                }
            }
            var w = BlockWorker.Widen(layer.Weights, 0, layer.Rows);
            block.UpdateLevels();
            new ColumnFeedback(curvature, layer.Rows).Run(w, block);
            block.Measure(w, curvature.Matrix);
            var values = w.Zip(block.Error, (value, error) => (float)(value - error)).ToArray();
            var (found, expected) = (layer.Objective(values), layer.Objective(layer.Result($"gptq-{bits}bit-g128-actorder")));
            TestContext.Current.TestOutputHelper!.WriteLine($"{name}, {bits} bits: {found:g6}, GPTQModel {expected:g6}");
            found.ShouldBe(expected, 0.01 * expected);
        }
    }

    [Fact]
    public void Column_feedback_equals_the_plain_form()
    {
        var (layer, curvature, block, w) = Setup(3);
        var levels = Enumerable.Range(0, block.Rows).Select(row => LevelsOf(block, row)).ToArray();
        new ColumnFeedback(curvature, block.Rows).Run(w, block);
        block.Measure(w, curvature.Matrix);
        for (var row = 0; row < block.Rows; row++)
        {
            var line = w.AsSpan(row * layer.Columns, layer.Columns);
            var expected = ReferenceSteps.ColumnFeedback(line, curvature.Order, curvature.Factor, levels[row]);
            Values(w, block, row).ShouldBe(expected, 1e-9, $"row {row}");
        }
    }

    [Fact]
    public void Coordinate_descent_equals_the_plain_form()
    {
        var (layer, curvature, block, w) = Setup(2);
        var expected = Enumerable.Range(0, block.Rows).Select(row => Values(w, block, row)).ToArray();
        for (var sweep = 0; sweep < 2; sweep++)
        {
            new CoordinateDescent(curvature.Matrix, layer.Columns, block.Rows).Run(w, block);
            for (var row = 0; row < block.Rows; row++)
            {
                var line = w.AsSpan(row * layer.Columns, layer.Columns);
                ReferenceSteps.CoordinateDescent(line, curvature.Matrix, LevelsOf(block, row), expected[row]);
                Values(w, block, row).ShouldBe(expected[row], 1e-9, $"row {row}");
            }
        }
        var (objective, gradient) = (block.Objective.ToArray(), block.Gradient.ToArray());
        block.Measure(w, curvature.Matrix);
        block.Objective.ShouldBe(objective, 1e-9);
        block.Gradient.ShouldBe(gradient, 1e-9);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Joint_scales_equal_the_plain_form(bool bias)
    {
        var (layer, curvature, block, w) = Setup(2, bias);
        var designs = Enumerable.Range(0, block.Rows).Select(row => Design(block, row)).ToArray();
        new JointScales(curvature.Matrix, block, block.Rows).Run(block);
        block.Measure(w, curvature.Matrix);
        for (var row = 0; row < block.Rows; row++)
        {
            var scales = ReferenceSteps.JointScales(w.AsSpan(row * layer.Columns, layer.Columns), curvature.Matrix, designs[row]);
            var design = designs[row];
            var values = Enumerable.Range(0, layer.Columns)
                .Select(column => Enumerable.Range(0, scales.Length).Sum(p => design[column, p] * scales[p])).ToArray();
            // fp16 has 11 bits.
            var tolerance = 2e-3 * values.Max(Math.Abs);
            Values(w, block, row).ShouldBe(values, tolerance, $"row {row}");
            var error = values.Select((value, column) => w[row * layer.Columns + column] - value).ToArray();
            block.Objective[row].ShouldBe(ReferenceSteps.Objective(error, curvature.Matrix), 1e-2 * block.Objective[row]);
        }
    }

    [Fact]
    public void Joint_scales_of_signs_that_leave_some_open_change_nothing_else()
    {
        var (layer, curvature, block, w) = Setup(3);
        // All signs of a group alike: bases and bias cannot be told apart.
        for (var row = 0; row < block.Rows; row++)
            block.Codes.AsSpan(row * layer.Columns, Group).Fill(7);
        block.Measure(w, curvature.Matrix);
        var before = block.Objective.ToArray();
        new JointScales(curvature.Matrix, block, block.Rows).Run(block);
        block.Measure(w, curvature.Matrix);
        for (var row = 0; row < block.Rows; row++)
        {
            block.Objective[row].ShouldBeLessThan(before[row]);
            block.AlphaOf(row, 0).ToArray().ShouldAllBe(value => Math.Abs(value) < 10);
        }
    }

    [Fact]
    public void Block_products_equal_the_plain_form()
    {
        foreach (var (m, k, n) in new[] { (1, 1, 1), (3, 5, 7), (4, 128, 8), (6, 300, 19), (9, 513, 40) })
        {
            var a = Array.ConvertAll(Synthetic.Gaussian(m * (k + 3), 1), value => (double)value);
            var b = Array.ConvertAll(Synthetic.Gaussian(k * (n + 2), 2), value => (double)value);
            var found = Array.ConvertAll(Synthetic.Gaussian(m * (n + 1), 3), value => (double)value);
            var expected = found.ToArray();
            BlockProduct.Add(a, k + 3, m, k, b, n + 2, n, found, n + 1, -0.5);
            BlockProduct.Reference(a, k + 3, m, k, b, n + 2, n, expected, n + 1, -0.5);
            found.ShouldBe(expected, 1e-10);
        }
        Should.Throw<ArgumentException>(() => BlockProduct.Add(new double[3], 2, 2, 2, new double[4], 2, 2, new double[4], 2));
    }

    [Fact]
    public void Cholesky_solves_and_says_where_it_cannot()
    {
        double[] a = [4, 0, 0, 2, 5, 0, 1, 3, 6];
        double[] b = [4 + 4 + 3, 2 + 10 + 9, 1 + 6 + 18];
        Cholesky.SolveInPlace(a, b).ShouldBeTrue();
        b.ShouldBe([1.0, 2, 3], 1e-12);
        Cholesky.SolveInPlace([1, 0, 2, 1], [1, 1]).ShouldBeFalse();
        Cholesky.SolveInPlace([double.NaN], [1]).ShouldBeFalse();
    }

    [Theory]
    [InlineData("gguf-q4_1"), InlineData("gguf-q4_0"), InlineData("gguf-q5_1"), InlineData("gguf-q8_0"), InlineData("gguf-q2_0"), InlineData("gptq"), InlineData("hqq")]
    public void Steps_and_minima_of_a_grid_are_solved_for_as_the_plain_form_does(string target)
    {
        var (layer, curvature, block, w) = Setup(Target.Parse(target));
        var designs = Enumerable.Range(0, block.Rows).Select(row => Design(block, row)).ToArray();
        var before = block.Objective.ToArray();
        new JointScales(curvature.Matrix, block, block.Rows).Run(block);
        block.Measure(w, curvature.Matrix);
        for (var row = 0; row < block.Rows; row++)
        {
            var scales = ReferenceSteps.JointScales(w.AsSpan(row * layer.Columns, layer.Columns), curvature.Matrix, designs[row]);
            var values = Enumerable.Range(0, layer.Columns)
                .Select(column => Enumerable.Range(0, scales.Length).Sum(p => designs[row][column, p] * scales[p])).ToArray();
            Values(w, block, row).ShouldBe(values, 2e-3 * values.Max(Math.Abs), $"row {row}");
            block.Objective[row].ShouldBeLessThan(before[row]);
        }
    }

    [Theory]
    [InlineData("gguf-q4_1"), InlineData("gguf-q4_0"), InlineData("gguf-q5_1"), InlineData("gguf-q8_0"), InlineData("gguf-q2_0"), InlineData("gptq"), InlineData("hqq")]
    public void Steps_over_columns_on_a_grid_equal_the_plain_forms(string target)
    {
        var (layer, curvature, block, w) = Setup(Target.Parse(target));
        var levels = Enumerable.Range(0, block.Rows).Select(row => LevelsOf(block, row)).ToArray();
        new ColumnFeedback(curvature, block.Rows).Run(w, block);
        block.Measure(w, curvature.Matrix);
        for (var row = 0; row < block.Rows; row++)
        {
            var expected = ReferenceSteps.ColumnFeedback(
                w.AsSpan(row * layer.Columns, layer.Columns), curvature.Order, curvature.Factor, levels[row]);
            Values(w, block, row).ShouldBe(expected, 1e-9, $"feedback, row {row}");
        }
        new CoordinateDescent(curvature.Matrix, layer.Columns, block.Rows).Run(w, block);
        block.Codes.ShouldAllBe(code => block.Grid!.QOf(code) >= Target.Parse(target).LeastLevel);
    }

    /// <summary>Rows on a grid that is half as wide as the weights, so that there is something to improve.</summary>
    private static (ReferenceLayer Layer, Curvature Curvature, RowBlock Block, double[] W) Setup(Target target)
    {
        const int Rows = 6;
        var layer = new ReferenceLayer("ragged-128x200");
        var curvature = Curvature.Of(layer.Weights.Inputs!, "w");
        var w = BlockWorker.Widen(layer.Weights, 0, Rows);
        var grid = LevelGrid.Of(new Recipe().For(target))!;
        var block = new RowBlock(Rows, layer.Columns, target.Group, target.Bases, true, grid) { Rows = Rows };
        for (var row = 0; row < Rows; row++)
        {
            for (var group = 0; group < block.Groups; group++)
            {
                var (first, length) = block.ColumnsOf(group);
                var values = w.AsSpan(row * layer.Columns + first, length);
                var step = (values.ToArray().Max() - values.ToArray().Min()) / 2 / grid.MostLevel;
                grid.Write(new(step, values.ToArray().Min() / 2), block.AlphaOf(row, group), out block.Beta[row * block.Groups + group]);
                var scales = grid.Read(block.AlphaOf(row, group), block.Beta[row * block.Groups + group]);
                for (var j = 0; j < length; j++)
                    block.Codes[row * layer.Columns + first + j] = grid.CodeOf(grid.Nearest(scales, values[j]));
            }
        }
        block.Measure(w, curvature.Matrix);
        return (layer, curvature, block, w);
    }

    private static (ReferenceLayer Layer, Curvature Curvature, RowBlock Block, double[] W) Setup(int bases, bool bias = true)
    {
        const int Rows = 6;
        var layer = new ReferenceLayer("ragged-128x200");
        var curvature = Curvature.Of(layer.Weights.Inputs!, "w");
        var w = BlockWorker.Widen(layer.Weights, 0, Rows);
        var block = new RowBlock(Rows, layer.Columns, Group, bases, bias) { Rows = Rows };
        var fit = new GroupFit(bases, Group);
        for (var row = 0; row < Rows; row++)
        {
            for (var group = 0; group < block.Groups; group++)
            {
                var (first, length) = block.ColumnsOf(group);
                InitialSigns.Cascaded(layer.Weights.Row(row).Slice(first, length), fit, new double[length], new double[bases]);
                for (var basis = 0; basis < bases; basis++)
                    block.AlphaOf(row, group)[basis] = (double)(Half)fit.Alpha[basis];
                fit.Codes.CopyTo(block.Codes.AsSpan(row * layer.Columns + first));
            }
        }
        block.Measure(w, curvature.Matrix);
        return (layer, curvature, block, w);
    }

    private static Func<int, double[]> LevelsOf(RowBlock block, int row)
    {
        var levels = new double[block.Groups][];
        for (var group = 0; group < levels.Length; group++)
        {
            levels[group] = new double[1 << block.Bases];
            GroupFit.Levels(block.AlphaOf(row, group), block.Beta[row * block.Groups + group], levels[group]);
            if (block.Bases == 8)
                levels[group] = levels[group][1..];
        }
        return column => levels[column / block.GroupSize];
    }

    private static double[] Values(double[] w, RowBlock block, int row) =>
        [.. Enumerable.Range(row * block.Features, block.Features).Select(place => w[place] - block.Error[place])];

    private static double[,] Design(RowBlock block, int row)
    {
        var unknowns = block.Unknowns;
        var design = new double[block.Features, block.Groups * unknowns];
        for (var column = 0; column < block.Features; column++)
        {
            for (var unknown = 0; unknown < unknowns; unknown++)
            {
                var code = block.Codes[row * block.Features + column];
                var sign = block.Grid is { } grid ? unknown == 0 ? grid.Coefficient(code, grid.Read(block.AlphaOf(row, column / block.GroupSize), block.Beta[row * block.Groups + column / block.GroupSize])) : 1
                    : unknown == block.Bases ? 1 : (code >> unknown & 1) * 2 - 1;
                design[column, column / block.GroupSize * unknowns + unknown] = sign;
            }
        }
        return design;
    }
}

using Qbb.Models;
using Qbb.Quantizer.Methods.Alternating;
using Qbb.Quantizer.Methods.Grids;
using Qbb.Recipes;

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// All scales and biases of a row at once, given its signs: min over a of (w − Xa)H(w − Xa)ᵀ, where X [in, groups·(N + 1)] holds the signs
/// of
/// each group's columns, and ones for its bias; on a grid what a step counts at each column, and ones for a free minimum. Solved for the change of a, (XᵀHX)·δ = Xᵀ(eH)ᵀ, so that directions that the signs leave
/// open stay as they are; then rounded to fp16. XᵀHX is summed from blocks H[group, group'] over signed columns.
/// <see cref="ReferenceSteps.JointScales"/> is the plain form.
/// </summary>
internal sealed class JointScales
{
    /// <summary>Added to the diagonal of XᵀHX, relative to itself.</summary>
    public const double Ridge = 1e-9;

    /// <summary>The most scales and biases of a row.</summary>
    public const int MostUnknowns = 1 << 14;

    private const long SystemBytes = 48L << 20;
    private readonly double[] _matrix;
    private readonly int _features;
    private readonly int _unknowns;
    private readonly int _order;
    private readonly double[] _signs;
    private readonly double[] _products;
    private readonly double[] _systems;
    private readonly double[] _right;
    private readonly GroupFit _fit;
    private readonly bool _keepsPlanes;

    /// <param name="matrix">H [in, in].</param>
    /// <param name="shape">A block of the largest shape to come.</param>
    /// <param name="capacity">The most rows.</param>
    /// <param name="keepsPlanes">Leave order and signs of the planes as they are; scales may then be negative.</param>
    public JointScales(double[] matrix, RowBlock shape, int capacity, bool keepsPlanes = false)
    {
        (_matrix, _features, _keepsPlanes) = (matrix, shape.Features, keepsPlanes);
        _unknowns = shape.Unknowns;
        _order = shape.Groups * _unknowns;
        _signs = new double[capacity * _unknowns * _features];
        _products = new double[_signs.Length];
        _systems = new double[(long)capacity * _order * _order];
        _right = new double[_order];
        _fit = new GroupFit(shape.Bases, shape.GroupSize);
    }

    /// <summary>How many rows to take at once, so that their systems of equations stay small: 1 to 16.</summary>
    public static int RowsAtOnce(int groups, int unknowns)
    {
        var order = (long)groups * unknowns;
        return (int)Math.Clamp(SystemBytes / (8 * order * order), 1, 16);
    }

    /// <summary>Refuses a layer whose rows would need a system of equations that is too large.</summary>
    /// <exception cref="InvalidInputException">They would; the message names the remedy.</exception>
    public static void CheckSize(Recipe recipe, LayerWeights weights)
    {
        var group = Math.Min(recipe.Group ?? weights.InFeatures, weights.InFeatures);
        var unknowns = ((weights.InFeatures - 1L) / group + 1) * (LevelGrid.Of(recipe)?.Unknowns ?? recipe.Bases + (recipe.Bias ? 1 : 0));
        if (unknowns > MostUnknowns)
        {
            throw new InvalidInputException(
                $"{weights.Name}: groups of {group} make {unknowns} scales and biases a row, and importance full solves for all of them at " +
                $"once, at most {MostUnknowns}: use a larger group, or importance diag");
        }
    }

    /// <summary>Replaces scales and biases of a block of rows whose gradients are up to date. Errors are not up to date after.</summary>
    public void Run(RowBlock block)
    {
        SpreadSigns(block);
        for (var group = 0; group < block.Groups; group++)
            FillSystems(block, group);
        for (var row = 0; row < block.Rows; row++)
        {
            var system = _systems.AsSpan(row * _order * _order, _order * _order);
            FillRight(block, row);
            // A step that counts 0 at every column stays as it is.
            for (var k = 0; k < _order; k++)
                system[k * _order + k] = system[k * _order + k] is > 0 and var value ? value * (1 + Ridge) : 1;
            if (Cholesky.SolveInPlace(system, _right))
                Change(block, row);
        }
    }

    /// <summary>±1 of every unknown at every column, [rows, N + 1, in].</summary>
    private void SpreadSigns(RowBlock block)
    {
        for (var row = 0; row < block.Rows; row++)
        {
            var codes = block.Codes.AsSpan(row * _features, _features);
            for (var unknown = 0; unknown < _unknowns; unknown++)
            {
                var signs = _signs.AsSpan((row * _unknowns + unknown) * _features, _features);
                if (block.Grid is { } grid && unknown == 0)
                {
                    for (var group = 0; group < block.Groups; group++)
                    {
                        var (first, length) = block.ColumnsOf(group);
                        var scales = grid.Read(block.AlphaOf(row, group), block.Beta[row * block.Groups + group]);
                        for (var column = first; column < first + length; column++)
                            signs[column] = grid.Coefficient(codes[column], scales);
                    }
                    continue;
                }
                if (block.Grid is not null || unknown == block.Bases)
                {
                    signs.Fill(1);
                    continue;
                }
                for (var column = 0; column < signs.Length; column++)
                    signs[column] = (codes[column] >> unknown & 1) * 2 - 1;
            }
        }
    }

    /// <summary>The columns of XᵀHX that belong to one group, on and below the diagonal.</summary>
    private void FillSystems(RowBlock block, int group)
    {
        var (first, length) = block.ColumnsOf(group);
        var lines = block.Rows * _unknowns;
        for (var line = 0; line < lines; line++)
            _products.AsSpan(line * _features + first, _features - first).Clear();
        BlockProduct.Add(
            _signs.AsSpan(first), _features, lines, length, _matrix.AsSpan(first * _features + first), _features, _features - first,
            _products.AsSpan(first), _features);
        for (var row = 0; row < block.Rows; row++)
        {
            var system = _systems.AsSpan(row * _order * _order, _order * _order);
            for (var other = group; other < block.Groups; other++)
            {
                var (start, count) = block.ColumnsOf(other);
                for (var left = 0; left < _unknowns; left++)
                {
                    var signs = _signs.AsSpan((row * _unknowns + left) * _features + start, count);
                    for (var right = 0; right < _unknowns; right++)
                    {
                        var products = _products.AsSpan((row * _unknowns + right) * _features + start, count);
                        system[(other * _unknowns + left) * _order + group * _unknowns + right] = BlockProduct.Dot(signs, products);
                    }
                }
            }
        }
    }

    private void FillRight(RowBlock block, int row)
    {
        for (var group = 0; group < block.Groups; group++)
        {
            var (first, length) = block.ColumnsOf(group);
            for (var unknown = 0; unknown < _unknowns; unknown++)
            {
                _right[group * _unknowns + unknown] = BlockProduct.Dot(
                    _signs.AsSpan((row * _unknowns + unknown) * _features + first, length),
                    block.Gradient.AsSpan(row * _features + first, length));
            }
        }
    }

    private void Change(RowBlock block, int row)
    {
        for (var group = 0; group < block.Groups; group++)
        {
            var (first, length) = block.ColumnsOf(group);
            var codes = block.Codes.AsSpan(row * _features + first, length);
            var alpha = block.AlphaOf(row, group);
            ref var beta = ref block.Beta[row * block.Groups + group];
            if (block.Grid is { } grid)
            {
                grid.Write(grid.Changed(grid.Read(alpha, beta), _right.AsSpan(group * _unknowns, _unknowns)), alpha, out beta);
                continue;
            }
            _fit.Resize(length);
            codes.CopyTo(_fit.Codes);
            for (var basis = 0; basis < alpha.Length; basis++)
                _fit.Alpha[basis] = (double)(Half)(alpha[basis] + _right[group * _unknowns + basis]);
            if (!_keepsPlanes)
                _fit.Normalize();
            _fit.Codes.CopyTo(codes);
            _fit.Alpha.CopyTo(alpha);
            if (block.HasBias)
                beta = (double)(Half)(beta + _right[group * _unknowns + block.Bases]);
        }
    }
}

namespace Qbb.Quantizer.Methods.OutputAware;

/// <summary>
/// GPTQ's column loop (Frantar et al. 2023) with given levels: columns by falling H_jj take the nearest level of their own group (static
/// groups), and what that leaves is made up for by the columns to come. In blocks: within one, column by column; then once for all
/// columns behind it. <see cref="ReferenceSteps.ColumnFeedback"/> is the plain form.
/// </summary>
internal sealed class ColumnFeedback(Curvature curvature, int capacity)
{
    /// <summary>Columns of a block.</summary>
    public const int Block = 128;

    private readonly double[] _weights = new double[capacity * curvature.Features];
    private readonly double[] _errors = new double[capacity * Block];

    /// <summary>Replaces the signs of a block of rows; scales and levels stay.</summary>
    /// <param name="weights">[rows, in]</param>
    /// <param name="block">Changed; its errors are not up to date after.</param>
    public void Run(double[] weights, RowBlock block)
    {
        var (features, rows, order, factor) = (curvature.Features, block.Rows, curvature.Order, curvature.Factor);
        for (var row = 0; row < rows; row++)
        {
            for (var k = 0; k < features; k++)
                _weights[row * features + k] = weights[row * features + order[k]];
        }
        for (var first = 0; first < features; first += Block)
        {
            var last = Math.Min(first + Block, features);
            for (var row = 0; row < rows; row++)
            {
                for (var k = first; k < last; k++)
                {
                    var column = order[k];
                    var value = _weights[row * features + k];
                    var level = block.Levels.Nearest(row, column / block.GroupSize, value, out block.Codes[row * features + column]);
                    var error = (value - level) / factor[(long)k * features + k];
                    _errors[row * Block + k - first] = error;
                    BlockProduct.AddScaled(
                        factor.AsSpan(k * features + k + 1, last - k - 1), -error, _weights.AsSpan(row * features + k + 1, last - k - 1));
                }
            }
            if (last == features)
                break;
            var behind = factor.AsSpan(first * features + last);
            BlockProduct.Add(_errors, Block, rows, last - first, behind, features, features - last, _weights.AsSpan(last), features, -1);
        }
    }
}

using Qbb.Bases;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Methods.Rounding;

/// <summary>tr(E H Eᵀ), the squared error of a layer's outputs, row by row in double.</summary>
internal static class OutputObjective
{
    private const int RowsAtOnce = 1024;

    /// <summary>eHeᵀ of rows [rows] that a caller fills in, some at a time.</summary>
    /// <param name="rows">How many.</param>
    /// <param name="h">[n, n] in double.</param>
    /// <param name="fill">Given the first row and the errors [count, n] to set.</param>
    public static double[] PerRow(int rows, Tensor h, Action<int, Memory<float>> fill)
    {
        var features = (int)h.shape[0];
        var sums = new double[rows];
        for (var first = 0; first < rows; first += RowsAtOnce)
        {
            using var scope = torch.NewDisposeScope();
            var count = Math.Min(RowsAtOnce, rows - first);
            var errors = new float[count * features];
            fill(first, errors);
            var e = torch.tensor(errors, count, features).to(ScalarType.Float64);
            e.matmul(h).mul_(e).sum(1).ToArray<double>().CopyTo(sums, first);
        }
        return sums;
    }

    /// <summary>H in double.</summary>
    /// <param name="inputs">Of the layer.</param>
    /// <param name="layer">Its name, for the message.</param>
    /// <exception cref="InvalidInputException">It holds what is no finite number.</exception>
    public static Tensor Mean(InputStatistics inputs, string layer)
    {
        var h = inputs.Mean(torch.CPU);
        return double.IsFinite(h.diagonal().sum().ToDouble()) ? h : throw Curvature.NotFinite(layer);
    }

    /// <summary>Damps H as GPTQ does, so that reports of all methods mean the same; the identity where no input was ever other than 0.</summary>
    public static Tensor Damped(Tensor h)
    {
        using var scope = torch.NewDisposeScope();
        var mean = h.diagonal().mean().ToDouble();
        var unit = torch.eye(h.shape[0], dtype: ScalarType.Float64);
        return (mean > 0 ? h + unit * (InputStatistics.Damping * mean) : unit).MoveToOuterDisposeScope();
    }

    /// <summary>‖W‖².</summary>
    public static double SquaredNorm(LayerWeights weights)
    {
        var sum = 0.0;
        foreach (var w in weights.Values.Span)
            sum += (double)w * w;
        return sum;
    }

    /// <summary>tr(W H Wᵀ).</summary>
    public static double Norm(LayerWeights weights, Tensor h) =>
        PerRow(weights.OutFeatures, h, (first, rows) => weights.Values.Slice(first * weights.InFeatures, rows.Length).CopyTo(rows)).Sum();

    /// <summary>tr((W − Ŵ) H (W − Ŵ)ᵀ), and ‖W − Ŵ‖².</summary>
    public static (double Output, double Squared) Error(LayerWeights weights, IQuantizedWeight quantized, Tensor h)
    {
        var squared = 0.0;
        var output = PerRow(weights.OutFeatures, h, (first, rows) =>
        {
            var errors = rows.Span;
            var w = weights.Values.Span.Slice(first * weights.InFeatures, rows.Length);
            quantized.Dequantize(first, rows.Length / weights.InFeatures, errors);
            for (var k = 0; k < errors.Length; k++)
            {
                errors[k] = w[k] - errors[k];
                squared += (double)errors[k] * errors[k];
            }
        }).Sum();
        return (output, squared);
    }
}

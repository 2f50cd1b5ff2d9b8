using Qbb.Models.Generation;
using Qbb.Quantizer.Methods;

namespace Qbb.Quantizer.Tests;

/// <summary>Seeded weights.</summary>
internal static class Synthetic
{
    public static float[] Gaussian(int count, ulong seed)
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"{count} Gaussian weights, seed {seed}");
        var random = new SplitMix64(seed);
        var w = new float[count];
        foreach (ref var value in w.AsSpan())
            value = (float)random.NextGaussian();
        return w;
    }

    /// <summary>Student's t with five degrees of freedom.</summary>
    public static float[] StudentT5(int count, ulong seed)
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"{count} Student-t5 weights, seed {seed}");
        var random = new SplitMix64(seed);
        var w = new float[count];
        foreach (ref var value in w.AsSpan())
        {
            var normal = random.NextGaussian();
            var squares = 0.0;
            for (var k = 0; k < 5; k++)
                squares += Math.Pow(random.NextGaussian(), 2);
            value = (float)(normal / Math.Sqrt(squares / 5));
        }
        return w;
    }

    public static LayerWeights Layer(int rows, int columns, ulong seed) =>
        new("model.layers.0.q_proj.weight", rows, columns, Gaussian(rows * columns, seed));

    /// <summary>‖W − Ŵ‖²/‖W‖² of an expanded result, in double.</summary>
    public static double RelativeError(LayerWeights layer, LayerResult result)
    {
        var expanded = new float[layer.Values.Length];
        result.Weight.Dequantize(0, layer.OutFeatures, expanded);
        double error = 0, norm = 0;
        for (var k = 0; k < expanded.Length; k++)
        {
            error += Math.Pow((double)layer.Values.Span[k] - expanded[k], 2);
            norm += Math.Pow(layer.Values.Span[k], 2);
        }
        return error / norm;
    }
}

namespace Qbb.Quantizer.Methods.Rounding;

/// <summary><see cref="AwqMethod"/> as the paper has it, value by value over the inputs themselves.</summary>
internal static class ReferenceAwq
{
    /// <summary>Ŵ [out, in] of a layer by itself.</summary>
    /// <param name="w">[out, in]</param>
    /// <param name="x">[tokens, in]</param>
    /// <param name="features">in.</param>
    /// <param name="bits">Of a code.</param>
    /// <param name="group">Columns that share a scale.</param>
    public static float[] Run(float[] w, float[] x, int features, int bits, int group)
    {
        var sizes = Enumerable.Range(0, features).Select(j => (float)Column(x, j).Average(value => (double)Math.Abs(value))).ToArray();
        var scales = Enumerable.Range(0, AwqMethod.Powers).Select(k => AwqMethod.Candidate(sizes, k))
            .MinBy(s => Loss(w, x, Rounded(w, s, (first, count) => float.PositiveInfinity), 0, features))!;
        return Rounded(w, scales, (first, count) => Enumerable.Range(0, AwqMethod.Clips).Select(step => Largest(first, count) * (1 - step / 20f)).MinBy(most =>
        {
            var rounded = w.AsSpan().ToArray();
            Round(rounded, scales, first, count, most);
            return Loss(w, x, rounded, first / features, first % features, count);
        }));

        IEnumerable<float> Column(float[] values, int j) => Enumerable.Range(0, values.Length / features).Select(row => values[row * features + j]);

        float Largest(int first, int count) => Enumerable.Range(first, count).Max(k => Math.Abs(w[k] * scales[k % features]));

        float[] Rounded(float[] values, float[] s, Func<int, int, float> clip)
        {
            float[] result = [.. values];
            for (var row = 0; row < values.Length; row += features)
            {
                for (var start = 0; start < features; start += group)
                {
                    var count = Math.Min(group, features - start);
                    Round(result, s, row + start, count, clip(row + start, count));
                }
            }
            return result;
        }

        void Round(float[] values, float[] s, int first, int count, float most)
        {
            float low = 0, high = 0, largest = (1 << bits) - 1;
            for (var k = first; k < first + count; k++)
            {
                values[k] = Math.Clamp(values[k] * s[k % features], -most, most);
                (low, high) = (Math.Min(low, values[k]), Math.Max(high, values[k]));
            }
            var step = (high - low) / largest;
            var zero = MathF.Round(-low / step);
            for (var k = first; k < first + count; k++)
                values[k] = (Math.Clamp(MathF.Round(values[k] / step) + zero, 0, largest) - zero) * step / s[k % features];
        }

        double Loss(float[] values, float[] inputs, float[] rounded, int onlyRow, int start, int count = 0)
        {
            var (from, to) = count == 0 ? (0, values.Length / features) : (onlyRow, onlyRow + 1);
            var (left, right) = count == 0 ? (0, features) : (start, start + count);
            var sum = 0.0;
            for (var row = from; row < to; row++)
            {
                for (var token = 0; token < inputs.Length; token += features)
                {
                    var output = 0.0;
                    for (var j = left; j < right; j++)
                        output += (values[row * features + j] - (double)rounded[row * features + j]) * inputs[token + j];
                    sum += output * output;
                }
            }
            return sum;
        }
    }
}

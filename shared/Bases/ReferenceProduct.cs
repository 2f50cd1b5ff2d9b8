namespace Qbb.Bases;

/// <summary>
/// The product with binary bases as their definition has it, in double and without any unpacked weight: the yardstick of every kernel.
/// </summary>
public static class ReferenceProduct
{
    /// <summary>y[t, o] = 2^e·Σ_k ( Σ_i α[i, o, k]·Σ_{j in k} B[i, o, j]·x[t, j] + β[o, k]·Σ_{j in k} x[t, j] ).</summary>
    /// <param name="bases">The weight [out, in].</param>
    /// <param name="input">x, row-major [tokens, in].</param>
    /// <param name="output">y, row-major [tokens, out].</param>
    public static void Multiply(BinaryBases bases, ReadOnlySpan<double> input, Span<double> output)
    {
        var tokens = input.Length / bases.InFeatures;
        if (input.Length != tokens * bases.InFeatures || output.Length != tokens * bases.OutFeatures)
            throw new ArgumentException(
                $"x of {input.Length} and y of {output.Length} elements do not fit a weight of {bases.OutFeatures} × {bases.InFeatures}");
        for (var token = 0; token < tokens; token++)
        {
            var x = input.Slice(token * bases.InFeatures, bases.InFeatures);
            for (var row = 0; row < bases.OutFeatures; row++)
                output[token * bases.OutFeatures + row] = Dot(bases, row, x);
        }
    }

    private static double Dot(BinaryBases bases, int row, ReadOnlySpan<double> x)
    {
        var y = 0.0;
        for (var group = 0; group < bases.Groups; group++)
        {
            var first = group * bases.GroupSize;
            var last = (int)Math.Min((long)first + bases.GroupSize, x.Length);
            var sum = 0.0;
            for (var column = first; column < last; column++)
                sum += x[column];
            y += bases.Bias(row, group) * sum;
            for (var basis = 0; basis < bases.Count; basis++)
            {
                var words = bases.Row(basis, row);
                var signed = 0.0;
                for (var column = first; column < last; column++)
                    signed += SignPacking.IsPositive(words, column) ? x[column] : -x[column];
                y += (double)bases.Scale(basis, row, group) * signed;
            }
        }
        return y * bases.Factor;
    }
}

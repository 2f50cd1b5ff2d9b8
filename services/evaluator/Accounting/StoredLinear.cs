using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Evaluator.Accounting;

/// <summary>What a linear layer takes in the form that a file stores it in.</summary>
/// <param name="Bits">Of the weight, with its scales and biases.</param>
/// <param name="Operations">Its arithmetic for one token.</param>
public sealed record StoredLinear(double Bits, OperationCounts Operations)
{
    /// <summary>A layer, or a head, of a model. GGUF's types count as plain weights: what their blocks add is left out.</summary>
    /// <param name="source">The model.</param>
    /// <param name="layer">Which.</param>
    /// <param name="bases">Of a nested model: its first planes with their own scales alone; null for all.</param>
    public static StoredLinear Of(ModelSource source, LinearSpec layer, int? bases = null)
    {
        var (tensors, rows, columns) = (source.Tensors, layer.OutFeatures, layer.InFeatures);
        if (tensors.Contains(layer.Weight))
        {
            return new(8.0 * tensors.Describe(layer.Weight).Bytes, tensors switch
            {
                QuantizedTensors { Form: IntegerForm form } quantized when quantized.IsQuantized(layer.Module) => OperationCounts.Integers(rows, columns, form.Groups, zeroPoints: false),
                QuantizedTensors { Form: BasesForm form } quantized when quantized.IsQuantized(layer.Module) => OperationCounts.Bases(form.Bases, rows, columns, form.Groups, form.Bias),
                PackedTensors packed when packed.TryRead(layer.Weight) is { } weight => OperationCounts.Integers(rows, columns, weight.Groups, zeroPoints: !weight.IsSymmetric),
                _ => OperationCounts.Dense(rows, columns),
            });
        }
        var planes = tensors.Describe(layer.Module + ".planes");
        var onGrid = tensors.Contains(layer.Module + ".step");
        var groups = tensors.Describe(layer.Module + (onGrid ? ".step" : ".alpha")).Shape[^1];
        var hasBias = onGrid || tensors.Contains(layer.Module + ".beta");
        double bits = bases is { } count
            ? 8 * planes.Bytes / planes.Shape[0] * count + 16 * rows * groups * (count + (hasBias ? 1 : 0))
            : 8 * tensors.Entries.Where(entry => IsPart(entry.Name, layer.Module)).Sum(entry => entry.Bytes);
        return new(bits, OperationCounts.Bases(bases ?? planes.Shape[0], rows, columns, groups, hasBias));
    }

    // The scales of a nested layer's smaller models are .alpha.n and .beta.n.
    private static bool IsPart(string name, string module) => name.StartsWith(module, StringComparison.Ordinal)
        && new[] { ".planes", ".alpha", ".beta", ".step", ".lowest", ".minimum", ".zero", ".scale_exponent" }.Any(suffix => name.AsSpan(module.Length).StartsWith(suffix, StringComparison.Ordinal));
}

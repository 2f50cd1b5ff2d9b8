using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Models;

/// <summary>The size of a model, as every report has it.</summary>
/// <param name="Bytes">Of all files that running the model needs: configuration, weights, tokenizer and what goes along with it; not recipe, metrics and card.</param>
/// <param name="Parameters">Numbers of the model that the files stand for, however they are stored; a tied head counts once.</param>
public sealed record ModelSize(long Bytes, long Parameters)
{
    /// <summary>Bits of all those files for each parameter.</summary>
    public double BitsPerParameter => 8.0 * Bytes / Parameters;

    /// <exception cref="InvalidInputException">The model cannot be read.</exception>
    public static ModelSize Of(ModelSource source) => new(
        source.FileBytes + source.BytesOf(source.SideFiles()),
        ParametersOf(DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors), source.Tensors));

    private static long ParametersOf(DecoderLayout layout, ITensorSource tensors)
    {
        var linears = layout.AllLinears.ToDictionary(linear => linear.Weight, StringComparer.Ordinal);
        return layout.TensorNames.Distinct().Sum(name => linears.TryGetValue(name, out var linear) ? linear.WeightCount : tensors.Describe(name).Count);
    }
}

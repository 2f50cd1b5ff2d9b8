using System.Text.Json;
using System.Text.Json.Serialization;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Methods;

/// <summary>
/// The result of quantizing one layer. Errors are ‖W − Ŵ‖²/‖W‖², of the form that is stored (scales in fp16); 0 for a weight of
/// zeros.
/// </summary>
/// <param name="Layer">Name of the weight.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="EffectiveBitsPerWeight">Bits that the stored form takes for each weight.</param>
/// <param name="SquaredNorm">‖W‖².</param>
/// <param name="SquaredError">‖W − Ŵ‖².</param>
/// <param name="ErrorPerBase">
/// Error with the first 1..N bases of the result and its bias, of a nested layer with the scales of that number; the last is the layer's
/// error. Empty for methods without bases.
/// </param>
/// <param name="InitErrorPerBase">Error after 1..N bases of the init, before refinement and rounding. Empty for methods without bases.</param>
/// <param name="FlippedSigns">Per basis, the share of signs that differ from the init's; from those of the weighted refinement (step 1) for the output-aware method. Empty for methods without bases.</param>
/// <param name="SubnormalScales">Scales and biases below 6.1e-5 that fp16 keeps with fewer digits, or loses.</param>
/// <param name="Seconds">Time that the layer took.</param>
public sealed record LayerReport(
    string Layer,
    int OutFeatures,
    int InFeatures,
    [property: JsonPropertyName("bitsPerWeight")] double EffectiveBitsPerWeight,
    double SquaredNorm,
    double SquaredError,
    IReadOnlyList<double> ErrorPerBase,
    IReadOnlyList<double> InitErrorPerBase,
    IReadOnlyList<double> FlippedSigns,
    long SubnormalScales,
    double Seconds)
{
    /// <summary>The member of a report that differs from run to run.</summary>
    internal const string SecondsMember = "seconds";

    /// <summary>How reports are written: camelCase.</summary>
    internal static JsonSerializerOptions Json { get; } = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    /// <summary>The error of the layer's outputs, step by step; null for methods that do not look at it.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public OutputError? Output { get; init; }

    /// <summary>Of a nested layer: the error that a decomposition of its own would have with 1..N bases; null for others.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<double>? OwnErrorPerBase { get; init; }

    /// <summary>Of a nested layer whose outputs were looked at: their relative error with 1..N bases; null for others.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<double>? OutputErrorPerBase { get; init; }

    /// <summary>Number of weights.</summary>
    public long Weights => (long)OutFeatures * InFeatures;

    /// <summary>‖W − Ŵ‖²/‖W‖².</summary>
    public double RelativeError => Relative(SquaredError, SquaredNorm);

    internal static double Relative(double error, double norm) => norm > 0 ? error / norm : 0;
}

/// <summary>
/// The error of a layer's outputs, tr((W − Ŵ) H (W − Ŵ)ᵀ) with H damped, in the form that is stored after each step. It never rises.
/// </summary>
/// <param name="Norm">tr(W H Wᵀ).</param>
/// <param name="AfterStep">
/// After the weighted refinement, the column feedback, and then the joint scales, coordinate descent, joint scales, coordinate descent,
/// joint scales. Where another method gives the start: after that in place of the first two. For a nested layer at the end alone, with all bases.
/// </param>
/// <param name="Damping">What was added to every diagonal element of H, in units of their mean.</param>
/// <param name="Tokens">Inputs that H was summed over.</param>
public sealed record OutputError(double Norm, IReadOnlyList<double> AfterStep, double Damping, long Tokens)
{
    /// <summary>The last error over the norm.</summary>
    public double Relative => Norm > 0 ? AfterStep[^1] / Norm : 0;
}

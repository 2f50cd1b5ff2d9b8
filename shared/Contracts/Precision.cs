using System.Text.Json.Serialization;

namespace Qbb.Contracts;

/// <summary>
/// The floating-point type of weights and activations. Losses, scales, the optimizer and the second moments that layers are fitted by are in fp32 or
/// wider always.
/// </summary>
[JsonConverter(typeof(JsonStringEnumConverter<Precision>))]
public enum Precision
{
    F32,
    Bf16,
}

/// <summary>The types as recipes spell them.</summary>
public static class PrecisionNames
{
    /// <summary>f32, bf16.</summary>
    public static IReadOnlyDictionary<string, Precision> All { get; } = Enum.GetValues<Precision>().ToDictionary(Of);

    public static string Of(Precision precision) => precision.ToString().ToLowerInvariant();
}

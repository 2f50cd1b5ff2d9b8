namespace Qbb.Models;

/// <summary>A recipe's precision as a tensor's type.</summary>
public static class PrecisionExtensions
{
    public static ScalarType ToScalarType(this Precision precision) => precision switch
    {
        Precision.F32 => ScalarType.Float32,
        Precision.Bf16 => ScalarType.BFloat16,
        _ => throw new ArgumentOutOfRangeException(nameof(precision), precision, null),
    };

    /// <summary>The type that a command names; null for f32.</summary>
    public static ScalarType ToScalarType(this Precision? precision) => (precision ?? Precision.F32).ToScalarType();

    /// <exception cref="InvalidInputException">Recipes do not have the type.</exception>
    public static Precision ToPrecision(this ScalarType type) => type switch
    {
        ScalarType.Float32 => Precision.F32,
        ScalarType.BFloat16 => Precision.Bf16,
        _ => throw new InvalidInputException($"distillation does not support {type.ShortName()}", "use f32 or bf16 (--dtype fp32, --dtype bf16)"),
    };
}

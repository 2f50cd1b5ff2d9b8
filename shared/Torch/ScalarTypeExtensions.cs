namespace Qbb.Torch;

public static class ScalarTypeExtensions
{
    /// <summary>Bytes of one element.</summary>
    public static int ElementSize(this ScalarType type) => type switch
    {
        ScalarType.Byte or ScalarType.Int8 or ScalarType.Bool => 1,
        ScalarType.Int16 or ScalarType.Float16 or ScalarType.BFloat16 => 2,
        ScalarType.Int32 or ScalarType.Float32 => 4,
        _ => 8,
    };

    public static bool IsFloatingPoint(this ScalarType type) =>
        type is ScalarType.Float16 or ScalarType.Float32 or ScalarType.Float64 or ScalarType.BFloat16;

    /// <summary>PyTorch's short spelling: <c>f32</c>.</summary>
    public static string ShortName(this ScalarType type) => type switch
    {
        ScalarType.Byte => "u8",
        ScalarType.Int8 => "i8",
        ScalarType.Int16 => "i16",
        ScalarType.Int32 => "i32",
        ScalarType.Int64 => "i64",
        ScalarType.Float16 => "f16",
        ScalarType.Float32 => "f32",
        ScalarType.Float64 => "f64",
        ScalarType.Bool => "bool",
        ScalarType.BFloat16 => "bf16",
        _ => type.ToString(),
    };

    /// <summary>The element type that a managed array of <typeparamref name="T"/> holds.</summary>
    internal static ScalarType Of<T>() where T : unmanaged =>
        typeof(T) == typeof(float) ? ScalarType.Float32
        : typeof(T) == typeof(double) ? ScalarType.Float64
        : typeof(T) == typeof(long) ? ScalarType.Int64
        : typeof(T) == typeof(int) ? ScalarType.Int32
        : typeof(T) == typeof(short) ? ScalarType.Int16
        : typeof(T) == typeof(sbyte) ? ScalarType.Int8
        : typeof(T) == typeof(byte) ? ScalarType.Byte
        : typeof(T) == typeof(Half) ? ScalarType.Float16
        : typeof(T) == typeof(bool) ? ScalarType.Bool
        : throw new NotSupportedException($"tensors do not hold {typeof(T).Name}");
}

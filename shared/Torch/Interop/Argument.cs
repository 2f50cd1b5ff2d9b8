namespace Qbb.Torch.Interop;

/// <summary>One argument of an operator call. Converts from every type that a schema can ask for; <c>default</c> is None.</summary>
public readonly struct Argument
{
    internal readonly ValueTag Tag;
    internal readonly int Index;
    internal readonly long Bits;
    internal readonly object? Reference;

    private Argument(ValueTag tag, long bits = 0, object? reference = null, int index = 0) => (Tag, Bits, Reference, Index) = (tag, bits, reference, index);

    /// <summary>The default that the operator's schema gives.</summary>
    public static Argument Default => new(ValueTag.Default);
    public static Argument None => default;

    public static implicit operator Argument(Tensor? value) => value is null ? default : new(ValueTag.Tensor, 0, value);
    public static implicit operator Argument(long value) => new(ValueTag.Int, value);
    public static implicit operator Argument(int value) => new(ValueTag.Int, value);
    public static implicit operator Argument(long? value) => value is { } v ? new(ValueTag.Int, v) : default;
    public static implicit operator Argument(double value) => new(ValueTag.Double, BitConverter.DoubleToInt64Bits(value));
    public static implicit operator Argument(double? value) => value is { } v ? v : default(Argument);
    public static implicit operator Argument(bool value) => new(ValueTag.Bool, value ? 1 : 0);
    public static implicit operator Argument(string? value) => value is null ? default : new(ValueTag.String, 0, value);
    public static implicit operator Argument(long[]? value) => value is null ? default : new(ValueTag.IntList, 0, value);
    public static implicit operator Argument(double[]? value) => value is null ? default : new(ValueTag.DoubleList, 0, value);
    public static implicit operator Argument(Tensor?[]? value) => value is null ? default : new(ValueTag.TensorList, 0, value);
    public static implicit operator Argument(ScalarType value) => new(ValueTag.Int, (long)value);
    public static implicit operator Argument(ScalarType? value) => value is { } v ? v : default(Argument);
    public static implicit operator Argument(Device? value) => value is null ? default : new(ValueTag.Device, (long)value.Type, null, value.Index);
    public static implicit operator Argument(Generator? value) => value is null ? default : new(ValueTag.Generator, 0, value);
    public static implicit operator Argument(Scalar value) => value.IsInteger ? (Argument)value.Integer : value.Real;
}

using System.Collections.Frozen;

namespace Qbb.Checkpoints;

/// <summary>The dtypes of safetensors 0.8; those narrower than a byte are counted in the smallest whole number of bytes.</summary>
internal static class SafetensorsTypes
{
    public static FrozenDictionary<string, StoredType> ByName { get; } = new[]
    {
        StoredType.Plain("F64", 8, PlainTypes.Number<double>),
        StoredType.Plain("F32", 4, PlainTypes.Float32),
        StoredType.Plain("F16", 2, PlainTypes.Float16),
        StoredType.Plain("BF16", 2, PlainTypes.Bfloat16),
        StoredType.Plain("I64", 8, PlainTypes.Number<long>),
        StoredType.Plain("I32", 4, PlainTypes.Number<int>),
        StoredType.Plain("I16", 2, PlainTypes.Number<short>),
        StoredType.Plain("I8", 1, PlainTypes.Number<sbyte>),
        StoredType.Plain("U64", 8, PlainTypes.Number<ulong>),
        StoredType.Plain("U32", 4, PlainTypes.Number<uint>),
        StoredType.Plain("U16", 2, PlainTypes.Number<ushort>),
        StoredType.Plain("U8", 1, PlainTypes.Number<byte>),
        StoredType.Plain("BOOL", 1, PlainTypes.Bool),
        StoredType.Plain("C64", 8, null),
        StoredType.Plain("F8_E4M3", 1, null),
        StoredType.Plain("F8_E5M2", 1, null),
        StoredType.Plain("F8_E4M3FNUZ", 1, null),
        StoredType.Plain("F8_E5M2FNUZ", 1, null),
        StoredType.Plain("F8_E8M0", 1, null),
        StoredType.Blocks("F6_E2M3", 4, 3, null),
        StoredType.Blocks("F6_E3M2", 4, 3, null),
        StoredType.Blocks("F4", 2, 1, null),
    }.ToFrozenDictionary(type => type.Name, StringComparer.Ordinal);
}

using System.Collections.Frozen;

namespace Qbb.Checkpoints;

/// <summary>The tensor types of GGUF by their number, with block lengths and sizes as in ggml's type table.</summary>
internal static class GgmlTypes
{
    public static FrozenDictionary<uint, StoredType> ByNumber { get; } = new Dictionary<uint, StoredType>
    {
        [0] = StoredType.Plain("F32", 4, PlainTypes.Float32),
        [1] = StoredType.Plain("F16", 2, PlainTypes.Float16),
        [2] = StoredType.Blocks("Q4_0", 32, 18, GgmlBlocks.Q4_0),
        [3] = StoredType.Blocks("Q4_1", 32, 20, GgmlBlocks.Q4_1),
        [6] = StoredType.Blocks("Q5_0", 32, 22, GgmlBlocks.Q5_0),
        [7] = StoredType.Blocks("Q5_1", 32, 24, GgmlBlocks.Q5_1),
        [8] = StoredType.Blocks("Q8_0", 32, 34, GgmlBlocks.Q8_0),
        [9] = StoredType.Blocks("Q8_1", 32, 36, null),
        [10] = StoredType.Blocks("Q2_K", 256, 84, null),
        [11] = StoredType.Blocks("Q3_K", 256, 110, null),
        [12] = StoredType.Blocks("Q4_K", 256, 144, GgmlBlocks.Q4_K),
        [13] = StoredType.Blocks("Q5_K", 256, 176, GgmlBlocks.Q5_K),
        [14] = StoredType.Blocks("Q6_K", 256, 210, GgmlBlocks.Q6_K),
        [15] = StoredType.Blocks("Q8_K", 256, 292, null),
        [16] = StoredType.Blocks("IQ2_XXS", 256, 66, null),
        [17] = StoredType.Blocks("IQ2_XS", 256, 74, null),
        [18] = StoredType.Blocks("IQ3_XXS", 256, 98, null),
        [19] = StoredType.Blocks("IQ1_S", 256, 50, null),
        [20] = StoredType.Blocks("IQ4_NL", 32, 18, null),
        [21] = StoredType.Blocks("IQ3_S", 256, 110, null),
        [22] = StoredType.Blocks("IQ2_S", 256, 82, null),
        [23] = StoredType.Blocks("IQ4_XS", 256, 136, null),
        [24] = StoredType.Plain("I8", 1, PlainTypes.Number<sbyte>),
        [25] = StoredType.Plain("I16", 2, PlainTypes.Number<short>),
        [26] = StoredType.Plain("I32", 4, PlainTypes.Number<int>),
        [27] = StoredType.Plain("I64", 8, PlainTypes.Number<long>),
        [28] = StoredType.Plain("F64", 8, PlainTypes.Number<double>),
        [29] = StoredType.Blocks("IQ1_M", 256, 56, null),
        [30] = StoredType.Plain("BF16", 2, PlainTypes.Bfloat16),
        [34] = StoredType.Blocks("TQ1_0", 256, 54, null),
        [35] = StoredType.Blocks("TQ2_0", 256, 66, null),
        [39] = StoredType.Blocks("MXFP4", 32, 17, GgmlBlocks.MXFP4),
        [40] = StoredType.Blocks("NVFP4", 64, 36, GgmlBlocks.NVFP4),
        [41] = StoredType.Blocks("Q1_0", 128, 18, GgmlBlocks.Q1_0),
        [42] = StoredType.Blocks("Q2_0", 64, 18, GgmlBlocks.Q2_0),
    }.ToFrozenDictionary();

    /// <summary>The numbers by name.</summary>
    public static FrozenDictionary<string, uint> Numbers { get; } = ByNumber.ToFrozenDictionary(pair => pair.Value.Name, pair => pair.Key);

    /// <exception cref="ArgumentException">ggml has none of that name.</exception>
    public static StoredType Named(string name) =>
        Numbers.TryGetValue(name, out var number) ? ByNumber[number] : throw new ArgumentException($"ggml has no type {name}");
}

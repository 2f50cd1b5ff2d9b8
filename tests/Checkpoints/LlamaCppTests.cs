using System.Runtime.InteropServices;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

/// <summary>Dequantized weights are ggml's, bit for bit.</summary>
public sealed class LlamaCppTests(ITestOutputHelper output)
{
    public static TheoryData<string> Files => LlamaCpp.Files;

    public static TheoryData<string> Types => [.. GgmlTypes.ByNumber.Values.Where(type => type.Decode != null && !type.IsPlain).Select(type => type.Name)];

    [Theory]
    [MemberData(nameof(Files))]
    public void Of_files(string path)
    {
        var folder = LlamaCpp.Libraries;
        using var file = GgufFile.Open(Reference.Path(path));
        foreach (var entry in file.Entries)
        {
            var stored = new byte[entry.Bytes];
            file.ReadBytes(entry.Name, 0, stored);
            var values = new float[entry.Count];
            file.ReadFloat(entry.Name, 0, values);
            Same(values, ByGgml(folder, entry.Type, stored, values.Length), entry.Name);
        }
        output.WriteLine($"{path}: {file.Entries.Count} tensors");
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Of_random_bytes(string name)
    {
        const int seed = 5, blocks = 4096;
        var folder = LlamaCpp.Libraries;
        var type = GgmlTypes.ByNumber.Values.Single(type => type.Name == name);
        var stored = new byte[blocks * type.BlockBytes];
        new Random(seed).NextBytes(stored);
        var values = new float[blocks * type.BlockLength];
        type.Decode!(stored, values);
        Same(values, ByGgml(folder, name, stored, values.Length), $"{name}, seed {seed}");
        output.WriteLine($"{name}: {values.Length} values");
    }

    private static void Same(float[] ours, float[] theirs, string what)
    {
        // One NaN is as good as another.
        var first = Enumerable.Range(0, ours.Length).FirstOrDefault(
            i => BitConverter.SingleToInt32Bits(ours[i]) != BitConverter.SingleToInt32Bits(theirs[i]) && !(float.IsNaN(ours[i]) && float.IsNaN(theirs[i])), -1);
        if (first >= 0)
            Assert.Fail($"{what}: value {first} is {ours[first]:R}, of ggml {theirs[first]:R}");
    }

    private static unsafe float[] ByGgml(string folder, string type, byte[] stored, int count)
    {
        var values = new float[count];
        if (type == "F32")
        {
            MemoryMarshal.Cast<byte, float>(stored).CopyTo(values);
            return values;
        }
        var name = type switch
        {
            "F16" => "ggml_fp16_to_fp32_row",
            "BF16" => "ggml_bf16_to_fp32_row",
            _ => "dequantize_row_" + type.ToLowerInvariant().Replace("_k", "_K", StringComparison.Ordinal),
        };
        var library = NativeLibrary.Load(Path.Combine(folder, "libggml-base.so"));
        var dequantize = (delegate* unmanaged[Cdecl]<byte*, float*, long, void>)NativeLibrary.GetExport(library, name);
        fixed (byte* from = stored)
        fixed (float* to = values)
            dequantize(from, to, count);
        return values;
    }
}

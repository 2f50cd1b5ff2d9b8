using System.Runtime.InteropServices;
using Qbb.Checkpoints;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

public sealed class SafetensorsFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Every_plain_type_is_widened()
    {
        var types = new (string Name, byte[] Data, float[] Expected)[]
        {
            ("F64", Bytes(1.5, -2e-300), [1.5f, 0]),
            ("F32", Bytes(1.5f, float.MaxValue), [1.5f, float.MaxValue]),
            ("F16", Bytes((Half)1.5f, (Half)(-65504f)), [1.5f, -65504]),
            ("BF16", Bytes((ushort)0x3fc0, (ushort)0xff80), [1.5f, float.NegativeInfinity]),
            ("I64", Bytes(-3L, 1L << 40), [-3, 1L << 40]),
            ("I32", Bytes(-3, int.MaxValue), [-3, int.MaxValue]),
            ("I16", Bytes((short)-3, short.MaxValue), [-3, short.MaxValue]),
            ("I8", Bytes((sbyte)-3, sbyte.MinValue), [-3, sbyte.MinValue]),
            ("U64", Bytes(3UL, ulong.MaxValue), [3, ulong.MaxValue]),
            ("U32", Bytes(3U, uint.MaxValue), [3, uint.MaxValue]),
            ("U16", Bytes((ushort)3, ushort.MaxValue), [3, ushort.MaxValue]),
            ("U8", Bytes((byte)3, byte.MaxValue), [3, 255]),
            ("BOOL", Bytes((byte)1, (byte)0), [1, 0]),
        };
        var offset = 0;
        var tensors = types.Select(type => SafetensorsBytes.Tensor(type.Name, type.Name, "[2]", $"[{offset},{offset += type.Data.Length}]"))
            .ToList();
        using var file = Open($"{{{string.Join(',', tensors)}}}", [.. types.SelectMany(type => type.Data)]);
        foreach (var (name, _, expected) in types)
            file.ReadAll(name).ShouldBe(expected, name);
    }

    [Fact]
    public void Entries_keep_the_order_of_the_header_and_metadata_is_exposed()
    {
        using var file = Open(
            """{"__metadata__":{"format":"pt","note":"é\n"},"b":{"dtype":"F32","shape":[],"data_offsets":[4,8]},"a":{"shape":[2,2],"data_offsets":[0,4],"dtype":"U8","new":{"x":[1]}}}   """, new byte[8]);
        file.Entries.Select(entry => (entry.Name, entry.Type, entry.Count, entry.Bytes)).ShouldBe([("b", "F32", 1, 4), ("a", "U8", 4, 4)]);
        file.Metadata.ShouldBe(new Dictionary<string, string> { ["format"] = "pt", ["note"] = "é\n" });
        file.Describe("a").Shape.ShouldBe([2, 2]);
        file.Contains("c").ShouldBeFalse();
    }

    [Fact]
    public void Empty_tensors_and_files_without_tensors_are_read()
    {
        using (var none = Open("{}", []))
            none.Entries.ShouldBeEmpty();
        using var file = Open($"{{{SafetensorsBytes.Tensor("a", "F32", "[0,7]", "[0,0]")},{SafetensorsBytes.Tensor("b", "U8", "[3]", "[0,3]")},{SafetensorsBytes.Tensor("c", "F16", "[0]", "[3,3]")}}}", new byte[3]);
        file.ReadAll("a").ShouldBeEmpty();
        file.ReadAll("b").Length.ShouldBe(3);
    }

    [Fact]
    public unsafe void Pointers_show_the_bytes_unless_they_are_misaligned()
    {
        using var file = Open($"{{{SafetensorsBytes.Tensor("a", "U8", "[3]", "[0,3]")},{SafetensorsBytes.Tensor("b", "F32", "[1]", "[3,7]")}}}  ".PadRight(120), [1, 2, 3, .. Bytes(2.5f)]);
        file.TryGetPointer("a", out var pointer).ShouldBeTrue();
        new ReadOnlySpan<byte>(pointer, 3).ToArray().ShouldBe(new byte[] { 1, 2, 3 });
        file.TryGetPointer("b", out pointer).ShouldBeFalse();
        (pointer == null).ShouldBeTrue();
        file.ReadAll("b").ShouldBe([2.5f]);
        var bytes = new byte[2];
        file.ReadBytes("b", 2, bytes);
        bytes.ShouldBe(Bytes(2.5f)[2..]);
    }

    [Theory]
    [InlineData("F8_E4M3", 2)]
    [InlineData("F8_E5M2", 2)]
    [InlineData("C64", 16)]
    [InlineData("F4", 1)]
    public void Types_that_cannot_be_read_are_listed_and_refused_by_name(string type, int bytes)
    {
        using var file = Open($"{{{SafetensorsBytes.Tensor("w", type, "[2]", $"[0,{bytes}]")}}}", new byte[bytes]);
        file.Entries.Single().Type.ShouldBe(type);
        var message = Should.Throw<InvalidInputException>(() => file.ReadAll("w")).Message;
        message.ShouldContain(type);
        message.ShouldContain("tensor w ");
    }

    [Fact]
    public void Ranges_outside_a_tensor_and_unknown_names_are_refused()
    {
        using var file = Open($"{{{SafetensorsBytes.Tensor("w", "F32", "[2]", "[0,8]")}}}", new byte[8]);
        Should.Throw<ArgumentOutOfRangeException>(() => file.ReadFloat("w", 1, new float[2]));
        Should.Throw<ArgumentOutOfRangeException>(() => file.ReadFloat("w", -1, new float[1]));
        Should.Throw<ArgumentOutOfRangeException>(() => file.ReadFloat("w", long.MaxValue, new float[1]));
        Should.Throw<ArgumentOutOfRangeException>(() => file.ReadBytes("w", 5, new byte[4]));
        Should.Throw<InvalidInputException>(() => file.ReadAll("x")).Message.ShouldContain("no tensor x");
    }

    [Fact]
    public void Reading_after_dispose_is_an_error_and_no_crash()
    {
        var file = Open($"{{{SafetensorsBytes.Tensor("w", "F32", "[2]", "[0,8]")}}}", new byte[8]);
        file.Dispose();
        file.Dispose();
        Should.Throw<ObjectDisposedException>(() => file.ReadAll("w"));
    }

    private SafetensorsFile Open(string header, byte[] data) =>
        SafetensorsFile.Open(folder.Write("x.safetensors", SafetensorsBytes.Of(header, data)));

    private static byte[] Bytes<T>(params T[] values)
        where T : unmanaged =>
        MemoryMarshal.AsBytes(values.AsSpan()).ToArray();
}

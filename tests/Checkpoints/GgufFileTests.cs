using Qbb.Checkpoints;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

public sealed class GgufFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData(2u)]
    [InlineData(3u)]
    public void Every_value_type_is_read(uint version)
    {
        var values = new Dictionary<string, (object Written, object Read, string Type)>
        {
            ["u8"] = ((byte)255, 255ul, "UINT8"),
            ["i8"] = ((sbyte)-1, -1L, "INT8"),
            ["u16"] = (ushort.MaxValue, (ulong)ushort.MaxValue, "UINT16"),
            ["i16"] = (short.MinValue, (long)short.MinValue, "INT16"),
            ["u32"] = (uint.MaxValue, (ulong)uint.MaxValue, "UINT32"),
            ["i32"] = (int.MinValue, (long)int.MinValue, "INT32"),
            ["f32"] = (1.5f, 1.5f, "FLOAT32"),
            ["bool"] = (true, true, "BOOL"),
            ["text"] = ("é\0", "é\0", "STRING"),
            ["u64"] = (ulong.MaxValue, ulong.MaxValue, "UINT64"),
            ["i64"] = (long.MinValue, long.MinValue, "INT64"),
            ["f64"] = (1e300, 1e300, "FLOAT64"),
            ["texts"] = (new[] { "a", "" }, new[] { "a", "" }, "ARRAY STRING"),
            ["none"] = (Array.Empty<string>(), Array.Empty<string>(), "ARRAY STRING"),
            ["ints"] = (new[] { -1, 2 }, new[] { -1, 2 }, "ARRAY INT32"),
            ["uints"] = (new[] { 1u, 2u }, new[] { 1u, 2u }, "ARRAY UINT32"),
            ["bytes"] = (new byte[] { 1, 2 }, new byte[] { 1, 2 }, "ARRAY UINT8"),
            ["floats"] = (new[] { 1f, 2f }, new[] { 1f, 2f }, "ARRAY FLOAT32"),
            ["doubles"] = (new[] { 1d, 2d }, new[] { 1d, 2d }, "ARRAY FLOAT64"),
            ["flags"] = (new[] { true, false }, new[] { true, false }, "ARRAY BOOL"),
            ["nested"] = (new object[] { new[] { 1L }, new[] { 2L, 3L } }, new object[] { new[] { 1L }, new[] { 2L, 3L } },
                "ARRAY ARRAY INT64"),
        };
        var builder = new GgufBuilder { Version = version };
        foreach (var (key, value) in values)
            builder.Add(key, value.Written);
        using var file = Open(builder);
        file.Version.ShouldBe(version);
        foreach (var (key, value) in values)
        {
            file.Metadata[key].ShouldBeEquivalentTo(value.Read, key);
            file.Metadata[key].GetType().ShouldBe(value.Read.GetType(), key);
            file.MetadataTypes[key].ShouldBe(value.Type, key);
        }
    }

    [Theory]
    [InlineData(8)]
    [InlineData(256)]
    public void Another_alignment_is_followed(int alignment)
    {
        using var file = Open(new GgufBuilder { Alignment = alignment }.Add("general.alignment", (uint)alignment)
            .Tensor("a", [3], [1, 2, 3]).Tensor("b", [2, 1], [4, 5]));
        file.Alignment.ShouldBe(alignment);
        file.ReadAll("b").ShouldBe([4, 5]);
        file.Describe("b").Shape.ShouldBe([2, 1]);
    }

    [Fact]
    public void Integer_tensors_and_scalars_are_read_and_other_quantisations_listed_but_refused()
    {
        using var file = Open(new GgufBuilder().Tensor("i", [2], 26, [1, 0, 0, 0, 255, 255, 255, 255]).Tensor("s", [], [7])
            .Tensor("iq", [256], 19, new byte[50]));
        file.ReadAll("i").ShouldBe([1, -1]);
        file.ReadAll("s").ShouldBe([7]);
        file.Describe("iq").Type.ShouldBe("IQ1_S");
        Should.Throw<InvalidInputException>(() => file.ReadAll("iq")).Message.ShouldContain("tensor iq is stored as IQ1_S");
    }

    [Fact]
    public void Damaged_files_are_refused_with_their_reason()
    {
        static GgufBuilder New() => new GgufBuilder().Add("k", 1u).Tensor("a", [2], [1, 2]).Tensor("b", [64], 8, new byte[68]);
        Refused("does not begin with 'GGUF'", "GGML"u8.ToArray());
        Refused("before GGUF", "tjgg"u8.ToArray());
        Refused("ends inside", "GGUF\u0003"u8.ToArray());
        Refused("big-endian", [.. "GGUF"u8, 0, 0, 0, 3, 0, 0]);
        Refused("version 1", With(New(), builder => builder.Version = 1));
        Refused("version 4", With(New(), builder => builder.Version = 4));
        Refused("claims 18446744073709551615 tensors", With(New(), builder => builder.TensorCount = ulong.MaxValue));
        Refused("claims 200000 tensors", With(New(), builder => builder.TensorCount = 200_000));
        Refused("key k twice", New().Add("k", 2u).Build());
        Refused("unknown type 13", New().AddRaw("x", 13, [0]).Build());
        Refused("not valid UTF-8", New().AddRaw("x", 8, [1, 0, 0, 0, 0, 0, 0, 0, 0xff]).Build());
        Refused("claims 9223372036854775807 bytes of metadata x", New().AddRaw("x", 8, BitConverter.GetBytes(long.MaxValue)).Build());
        Refused("claims 1152921504606846976 elements of metadata x", New().AddRaw("x", 9, [0, 0, 0, 0, .. BitConverter.GetBytes(1L << 60)])
            .Build());
        Refused("claims 3000000000 elements of metadata x", New().AddRaw("x", 9, [8, 0, 0, 0, .. BitConverter.GetBytes(3_000_000_000L)])
            .Build());
        Refused("nests arrays more than 4 deep", New()
            .Add("x", new object[] { new object[] { new object[] { new object[] { new[] { 1 } } } } }).Build());
        Refused("general.alignment is 24", New().Add("general.alignment", 24u).Build());
        Refused("general.alignment is 0", New().Add("general.alignment", 0u).Build());
        Refused("general.alignment is 32", New().Add("general.alignment", "32").Build());
        Refused("5 dimensions", New().Tensor("c", [1, 1, 1, 1, 1], [1]).Build());
        Refused("unknown type 99", New().Tensor("c", [1], 99, [1]).Build());
        Refused("dimension of 18446744073709551615", New().Tensor("c", [-1], [1]).Build());
        Refused("overflows", New().Tensor("c", [1L << 40, 1L << 40], [1]).Build());
        Refused("no multiple of 32", New().Tensor("c", [32, 31], 8, new byte[34 * 31]).Build());
        Refused("tensor a twice", New().Tensor("a", [1], [1]).Build());
        Refused("not a multiple of the alignment", With(New(), builder => builder.Offsets["b"] = 33));
        Refused("tensor b lies outside", With(New(), builder => builder.Offsets["b"] = 1 << 20));
        Refused("tensor b lies outside", With(New(), builder => builder.Offsets["b"] = ulong.MaxValue - 31));
        Refused("overlaps", With(New(), builder => builder.Offsets["b"] = 0));
        Refused("lies outside", New().Build()[..^40]);
    }

    [Fact]
    public void A_file_cut_anywhere_is_refused_or_read()
    {
        var whole = new GgufBuilder().Add("general.architecture", "llama").Add("x", new[] { "a", "b" }).Tensor("a", [2], [1, 2]).Build();
        for (var length = 1; length < whole.Length; length++)
        {
            var path = folder.Write("x.gguf", whole.AsSpan(0, length));
            try
            {
                using var file = GgufFile.Open(path);
                file.ReadAll("a").ShouldBe([1, 2]);
            }
            catch (InvalidInputException e)
            {
                e.Message.ShouldStartWith(path);
            }
        }
    }

    private GgufFile Open(GgufBuilder builder) => GgufFile.Open(folder.Write("x.gguf", builder.Build()));

    private static byte[] With(GgufBuilder builder, Action<GgufBuilder> change)
    {
        change(builder);
        return builder.Build();
    }

    private void Refused(string reason, byte[] bytes)
    {
        var path = folder.Write("x.gguf", bytes);
        var message = Should.Throw<InvalidInputException>(() => GgufFile.Open(path)).Message;
        message.ShouldStartWith(path);
        message.ShouldContain(reason);
    }
}

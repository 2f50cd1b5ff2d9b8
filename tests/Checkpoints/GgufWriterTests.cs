using System.Runtime.InteropServices;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

public sealed class GgufWriterTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, int> Blocks => new()
    {
        { "Q4_0", 16 }, { "Q4_1", 16 }, { "Q5_1", 32 }, { "Q8_0", 256 }, { "Q1_0", 2 }, { "Q2_0", 4 },
    };

    private string Target => _folder.File("x.gguf");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_is_written_is_read_back()
    {
        float[] values = [.. Enumerable.Range(0, 66).Select(k => k / 3f)];
        var metadata = new Dictionary<string, object>
        {
            ["general.architecture"] = "llama",
            ["a.text"] = "é\"\n",
            ["a.flag"] = true,
            ["a.uint"] = 7u,
            ["a.int"] = -7,
            ["a.float"] = 0.1f,
            ["a.double"] = 0.1,
            ["a.ulong"] = ulong.MaxValue,
            ["a.long"] = long.MinValue,
            ["a.texts"] = (string[])["x", "", "日本"],
            ["a.ints"] = (int[])[1, -2],
            ["a.none"] = Array.Empty<string>(),
        };
        using (var writer = GgufWriter.Create(Target, metadata, [new("odd", "F32", [3, 11]), new("q", "Q8_0", [2, 32]), new("one", "F16", [1])]))
        {
            writer.WriteBytes("odd", MemoryMarshal.AsBytes<float>(values.AsSpan(0, 10)));
            File.Exists(Target).ShouldBeFalse();
            writer.WriteBytes("odd", MemoryMarshal.AsBytes<float>(values.AsSpan(10, 23)));
            writer.WriteBytes("q", [.. Enumerable.Range(0, 68).Select(k => (byte)k)]);
            writer.WriteBytes("one", [0, 0x3c]);
            writer.Commit();
            writer.Bytes.ShouldBe(new FileInfo(Target).Length);
        }
        Directory.GetFiles(_folder.Path).ShouldBe([Target]);
        using var file = GgufFile.Open(Target);
        (file.Version, file.Alignment).ShouldBe((3u, 32));
        file.Metadata.Keys.ShouldBe(metadata.Keys, ignoreOrder: true);
        file.MetadataTypes["a.uint"].ShouldBe("UINT32");
        file.Metadata["a.text"].ShouldBe("é\"\n");
        file.Metadata["a.long"].ShouldBe(long.MinValue);
        file.Metadata["a.ulong"].ShouldBe(ulong.MaxValue);
        file.Metadata["a.texts"].ShouldBe((string[])["x", "", "日本"]);
        file.Metadata["a.ints"].ShouldBe((int[])[1, -2]);
        file.Metadata["a.float"].ShouldBe(0.1f);
        file.Entries.Select(entry => $"{entry.Name} {entry.Type} [{string.Join(",", entry.Shape)}]").ShouldBe(["odd F32 [3,11]", "q Q8_0 [2,32]", "one F16 [1]"]);
        var read = new float[33];
        file.ReadFloat("odd", 0, read);
        read.ShouldBe(values[..33]);
        file.ReadFloat("one", 0, read.AsSpan(0, 1));
        read[0].ShouldBe(1);
        var bytes = new byte[68];
        file.ReadBytes("q", 0, bytes);
        bytes.ShouldBe(Enumerable.Range(0, 68).Select(k => (byte)k));
    }

    [Fact]
    public void Breaks_of_the_protocol_and_places_that_cannot_be_written_are_refused_and_leave_nothing()
    {
        using (var writer = GgufWriter.Create(Target, [], [new("a", "F32", [2])]))
        {
            Should.Throw<InvalidOperationException>(() => writer.WriteBytes("b", new byte[4])).Message.ShouldContain("a is due, not b");
            Should.Throw<ArgumentException>(() => writer.WriteBytes("a", new byte[12]));
            Should.Throw<InvalidOperationException>(writer.Commit).Message.ShouldContain("0 of its 8 bytes");
        }
        Should.Throw<ArgumentException>(() => GgufWriter.Create(Target, [], [new("a", "Q8_0", [2, 33])]));
        Should.Throw<ArgumentException>(() => GgufWriter.Create(Target, [], [new("a", "Q9_9", [2, 32])]));
        Should.Throw<ArgumentException>(() => GgufWriter.Create(Target, new Dictionary<string, object> { ["x"] = DateTime.MinValue }, []));
        Should.Throw<InvalidInputException>(() => GgufWriter.Create(_folder.Path, [], [])).Message.ShouldContain("is a folder");
        Should.Throw<InvalidInputException>(() => GgufWriter.Create(Path.Combine(_folder.Path, "none", "x"), [], [])).Message.ShouldContain("cannot be written");
        Directory.GetFiles(_folder.Path).ShouldBeEmpty();
    }

    [Theory]
    [MemberData(nameof(Blocks))]
    public void Packed_levels_are_decoded_as_ggml_defines_them(string type, int levels)
    {
        const int seed = 3;
        var random = new Random(seed);
        var length = GgmlPacking.BlockLength(type);
        var block = new byte[GgmlPacking.RowBytes(type, length)];
        var (q, decoded) = (new int[length], new float[length]);
        for (var trial = 0; trial < 200; trial++)
        {
            var (d, m) = ((Half)(random.NextDouble() - 0.5), (Half)(random.NextDouble() - 0.5));
            for (var j = 0; j < length; j++)
                q[j] = random.Next(levels);
            GgmlPacking.Pack(type, q, d, m, block);
            GgmlPacking.Unpack(type, block, decoded);
            for (var j = 0; j < length; j++)
            {
                decoded[j].ShouldBe(type switch
                {
                    "Q4_0" => (float)d * (q[j] - 8),
                    "Q8_0" => (float)d * (q[j] - 128),
                    "Q2_0" => (float)d * (q[j] - 1),
                    "Q1_0" => (float)d * (2 * q[j] - 1),
                    _ => (float)d * q[j] + (float)m,
                }, $"seed {seed}");
            }
        }
        Should.Throw<ArgumentException>(() => GgmlPacking.Pack("Q4_K", q, default, default, new byte[256]));
    }
}

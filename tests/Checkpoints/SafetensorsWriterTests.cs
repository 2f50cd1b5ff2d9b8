using System.Buffers.Binary;
using System.Text;
using Qbb.Checkpoints;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

public sealed class SafetensorsWriterTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void What_is_written_is_read_back()
    {
        const int seed = 7;
        var random = new Random(seed);
        var values = Enumerable.Range(0, 600_000).Select(_ => (float)(random.NextDouble() - 0.5)).ToArray();
        TensorDeclaration[] declarations = [new("w", "F32", [600, 1000]), new("empty", "F32", [0]), new("h", "F16", [600_000]),
            new("b", "BF16", [2, 300_000]), new("planes", "I32", [3]), new("scalar", "F32", [])];
        using (var writer = SafetensorsWriter.Create(Target, declarations, new Dictionary<string, string> { ["z"] = "é\"", ["a"] = "1" }))
        {
            writer.Write("w", values.AsSpan(0, 1000));
            writer.Write("w", values.AsSpan(1000));
            writer.Write("h", values);
            writer.Write("b", values);
            writer.WriteBytes("planes", new byte[] { 1, 0, 0, 0, 2, 0, 0, 0 });
            writer.WriteBytes("planes", new byte[] { 255, 255, 255, 255 });
            writer.Write("scalar", [42]);
            writer.Commit();
        }
        using var file = SafetensorsFile.Open(Target);
        file.Metadata.ShouldBe(new Dictionary<string, string> { ["a"] = "1", ["format"] = "pt", ["z"] = "é\"" });
        file.Entries.Select(entry => entry.Name).ShouldBe(declarations.Select(declaration => declaration.Name));
        file.Describe("b").Shape.ShouldBe([2, 300_000]);
        file.ReadAll("w").ShouldBe(values);
        file.ReadAll("h").ShouldBe(values.Select(value => (float)(Half)value), $"seed {seed}");
        file.ReadAll("b").Zip(values).All(pair => Math.Abs(pair.First - pair.Second) <= Math.Abs(pair.Second) / 256)
            .ShouldBeTrue($"seed {seed}");
        file.ReadAll("planes").ShouldBe([1, 2, -1]);
        file.ReadAll("scalar").ShouldBe([42]);
        Directory.GetFiles(folder.Path).ShouldBe([Target]);
    }

    [Fact]
    public void The_header_is_deterministic_and_padded_to_8_bytes()
    {
        for (var i = 0; i < 2; i++)
        {
            using var writer = SafetensorsWriter.Create(
                folder.File($"{i}"), [new("a.b", "F16", [1, 2])], new Dictionary<string, string> { ["made"] = "qbb" });
            writer.Write("a.b", [1, 2]);
            writer.Commit();
        }
        var bytes = File.ReadAllBytes(folder.File("0"));
        bytes.ShouldBe(File.ReadAllBytes(folder.File("1")));
        var length = BinaryPrimitives.ReadInt64LittleEndian(bytes);
        (length % 8).ShouldBe(0);
        Encoding.UTF8.GetString(bytes, 8, (int)length).TrimEnd(' ').ShouldBe("""{"__metadata__":{"format":"pt","made":"qbb"},"a.b":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]}}""");
    }

    [Fact]
    public void Nothing_stays_without_commit_and_the_old_file_is_kept()
    {
        folder.Write("x.safetensors", "old");
        using (var writer = SafetensorsWriter.Create(Target, [new("a", "F32", [1])]))
            writer.Write("a", [1]);
        Directory.GetFiles(folder.Path).ShouldBe([Target]);
        File.ReadAllText(Target).ShouldBe("old");
        using (var writer = SafetensorsWriter.Create(Target, [new("a", "F32", [1])]))
        {
            writer.Write("a", [1]);
            writer.Commit();
        }
        new FileInfo(Target).Length.ShouldBeGreaterThan(8);
    }

    [Theory]
    [InlineData("F16", 65520f)]
    [InlineData("F16", -1e6f)]
    [InlineData("BF16", 3.4e38f)]
    public void A_value_too_large_for_the_type_is_an_error_with_tensor_and_index(string type, float value)
    {
        using var writer = SafetensorsWriter.Create(Target, [new("a", type, [40])]);
        writer.Write("a", new float[7]);
        var message = Should.Throw<InvalidInputException>(() => writer.Write("a", [0, 1, value])).Message;
        message.ShouldContain("tensor a ");
        message.ShouldContain("at index 9");
        message.ShouldContain(type);
    }

    [Fact]
    public void The_protocol_is_kept()
    {
        Should.Throw<ArgumentException>(() => SafetensorsWriter.Create(Target, [new("a", "F32", [1]), new("a", "F32", [1])]));
        Should.Throw<ArgumentException>(() => SafetensorsWriter.Create(Target, [new("a", "F31", [1])]));
        Should.Throw<ArgumentException>(() => SafetensorsWriter.Create(Target, [new("a", "F32", [-1])]));
        using var writer = SafetensorsWriter.Create(Target, [new("a", "F32", [2]), new("b", "I32", [1])]);
        Should.Throw<InvalidOperationException>(() => writer.WriteBytes("b", new byte[4]));
        Should.Throw<ArgumentException>(() => writer.Write("a", new float[3]));
        writer.Write("a", new float[2]);
        Should.Throw<ArgumentException>(() => writer.Write("b", new float[1]));
        Should.Throw<InvalidOperationException>(writer.Commit).Message.ShouldContain("tensor b has 0 of its 4 bytes");
        writer.WriteBytes("b", new byte[4]);
        Should.Throw<InvalidOperationException>(() => writer.WriteBytes("b", new byte[4]));
        writer.Commit();
        Should.Throw<ObjectDisposedException>(writer.Commit);
    }

    [Fact]
    public void Places_that_cannot_be_written_are_refused_with_the_path()
    {
        Should.Throw<InvalidInputException>(() => SafetensorsWriter.Create(folder.Path, [])).Message.ShouldContain("is a folder");
        var nowhere = Path.Combine(folder.Path, "none", "x.safetensors");
        Should.Throw<InvalidInputException>(() => SafetensorsWriter.Create(nowhere, [])).Message.ShouldContain(nowhere);
    }

    [Fact]
    public void A_full_disk_is_an_error_that_leaves_nothing_behind()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "needs /dev/full");
        File.CreateSymbolicLink(Target + ".partial", "/dev/full");
        var message = Should.Throw<InvalidInputException>(() =>
        {
            using var writer = SafetensorsWriter.Create(Target, [new("a", "F32", [1 << 20])]);
            writer.Write("a", new float[1 << 20]);
            writer.Commit();
        }).Message;
        message.ShouldContain(Target);
        message.ShouldContain("room");
        Directory.GetFileSystemEntries(folder.Path).ShouldBeEmpty();
    }

    [Fact]
    public void Two_writers_of_one_file_do_not_mix()
    {
        using var first = SafetensorsWriter.Create(Target, [new("a", "F32", [1])]);
        Should.Throw<InvalidInputException>(() => SafetensorsWriter.Create(Target, [new("a", "F32", [1])]));
        first.Write("a", [3]);
        first.Commit();
        using var file = SafetensorsFile.Open(Target);
        file.ReadAll("a").ShouldBe([3]);
    }

    private string Target => folder.File("x.safetensors");
}

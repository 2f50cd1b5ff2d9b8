using System.Security.Cryptography;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

public sealed class FileHashesTests : IDisposable
{
    private const int Worthwhile = 1000;
    private static readonly DateTime s_earlier = DateTime.UtcNow.AddMinutes(-1);
    private readonly TemporaryFolder _folder = new();

    private RememberedHashes Memory => new(_folder.File("cache/qbb/hashes.json"), Worthwhile);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_large_file_is_read_once()
    {
        var file = Settled("a", 3_000_000);
        Read(file).ShouldBe(3_000_000);
        Read(file).ShouldBe(0);
        File.CreateSymbolicLink(_folder.File("link"), file);
        Read(_folder.File("link")).ShouldBe(0);
        Hash(_folder.File("link")).ShouldBe(SHA256.HashData(File.ReadAllBytes(file)));
    }

    [Fact]
    public void A_changed_file_is_hashed_again()
    {
        var file = Settled("a", 2000);
        Read(file).ShouldBe(2000);
        File.WriteAllBytes(file, new byte[2000]);
        File.SetLastWriteTimeUtc(file, s_earlier.AddTicks(1));
        Hash(file).ShouldBe(SHA256.HashData(new byte[2000]));
        File.WriteAllBytes(file, new byte[2001]);
        File.SetLastWriteTimeUtc(file, s_earlier.AddTicks(1));
        Hash(file).ShouldBe(SHA256.HashData(new byte[2001]));
    }

    [Fact]
    public void Small_files_and_those_that_changed_just_now_are_always_read()
    {
        var small = Settled("small", Worthwhile - 1);
        var young = Settled("young", 2000);
        File.SetLastWriteTimeUtc(young, DateTime.UtcNow);
        for (var time = 0; time < 2; time++)
            Read(small, young).ShouldBe(Worthwhile - 1 + 2000);
        File.Exists(_folder.File("cache/qbb/hashes.json")).ShouldBeFalse();
    }

    [Theory]
    [InlineData("no JSON")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("""{"FILE":null}""")]
    [InlineData("""{"FILE":{"Bytes":2000,"Modified":"2020-01-01T00:00:00Z","Hash":"AAAA"}}""")]
    [InlineData("""{"FILE":{"Bytes":"many"}}""")]
    public void A_damaged_memory_counts_as_none_and_is_replaced(string content)
    {
        var file = Settled("a", 2000);
        Directory.CreateDirectory(_folder.File("cache/qbb"));
        _folder.Write("cache/qbb/hashes.json", content.Replace("FILE", file, StringComparison.Ordinal));
        Read(file).ShouldBe(2000);
        Read(file).ShouldBe(0);
    }

    [Fact]
    public void Where_there_is_no_place_for_a_memory_files_are_hashed_all_the_same()
    {
        var file = Settled("a", 2000);
        _folder.Write("cache", "a file where the folder would be");
        Read(file).ShouldBe(2000);
        FileHashes.Sha256([file], new RememberedHashes(null), default).Single().ShouldBe(SHA256.HashData(File.ReadAllBytes(file)));
    }

    [Fact]
    public void Writers_side_by_side_lose_nothing_and_files_that_are_gone_are_forgotten()
    {
        var files = Enumerable.Range(0, 24).Select(i => Settled($"f{i}", 2000 + i)).ToList();
        Parallel.ForEach(files, file => FileHashes.Sha256([file], Memory, default));
        Read([.. files]).ShouldBe(0);
        File.Delete(files[0]);
        Hash(Settled("another", 5000));
        File.ReadAllText(_folder.File("cache/qbb/hashes.json")).ShouldNotContain(Path.GetFileName(files[0]) + "\"");
        Read([.. files.Skip(1)]).ShouldBe(0);
    }

    [Fact]
    public void Progress_tells_bytes_of_all_that_is_to_be_read()
    {
        var (first, second) = (Settled("a", 3_000_000), Settled("b", 2_000_000));
        var heard = new List<(double Done, double Total, string File)>();
        using (FileHashes.Listen((done, total, file) => heard.Add((done, total, file))))
            FileHashes.Sha256([first, second], Memory, default);
        heard[0].ShouldBe((1 << 20, 5_000_000, "a"));
        heard[^1].ShouldBe((5_000_000, 5_000_000, "b"));
        heard.Select(one => one.Done).ShouldBeInOrder();
    }

    [Fact]
    public void A_missing_file_is_named() =>
        Should.Throw<InvalidInputException>(() => Hash(_folder.File("none"))).Message.ShouldContain("none: cannot be read");

    private string Settled(string name, int bytes)
    {
        var content = new byte[bytes];
        new Random(bytes).NextBytes(content);
        var file = _folder.Write(name, content);
        File.SetLastWriteTimeUtc(file, s_earlier);
        return file;
    }

    private byte[] Hash(string file) => FileHashes.Sha256([file], Memory, default).Single();

    /// <summary>Bytes that were read for the hashes.</summary>
    private long Read(params string[] files)
    {
        var read = 0.0;
        using (FileHashes.Listen((done, _, _) => read = done))
            FileHashes.Sha256(files, Memory, default);
        return (long)read;
    }
}

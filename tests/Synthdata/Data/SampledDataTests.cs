using Qbb.Models;
using Qbb.Synthdata.Data;
using Qbb.Workers.Data;

namespace Qbb.Synthdata.Tests.Data;

public sealed class SampledDataTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Folder => _folder["data"];

    private string Manifest => Path.Combine(Folder, DataManifest.FileName);

    private string Shard => Path.Combine(Folder, "sequences-00001.safetensors");

    [Fact]
    public void Sequences_are_read_back_at_any_place()
    {
        var sequences = Tiny.RandomSequences(11, 9);
        Tiny.WriteData(Folder, sequences, 9, 4);
        using var data = SampledData.Open(Folder);
        (data.Count, data.Length, data.VocabularySize).ShouldBe((11, 9, Tiny.Vocabulary));
        for (var index = 10; index >= 0; index--)
            data[index].ShouldBe(sequences[index]);
        data.Sequences().ShouldBe(sequences);
        Should.Throw<ArgumentOutOfRangeException>(() => data[11]);
        Should.Throw<ArgumentOutOfRangeException>(() => data[-1]);
    }

    [Fact]
    public void Empty_shards_are_passed_over()
    {
        var sequences = Tiny.RandomSequences(3, 5);
        Tiny.WriteData(Folder, sequences, 5, 1);
        var empty = Path.Combine(Folder, ShardFile.NameOf(7));
        ShardFile.Write(empty, [], 5, mayEndEarly: true, new Dictionary<string, string>());
        var entry = new ShardEntry(Path.GetFileName(empty), 0, ShardFile.Sha256(empty));
        var manifest = DataManifest.Read(Manifest).Manifest;
        (manifest with { Shards = [entry, manifest.Shards[0], entry, entry, .. manifest.Shards.Skip(1), entry] }).Write(Folder);
        using var data = SampledData.Open(Folder);
        data.Sequences().ShouldBe(sequences);
    }

    [Fact]
    public void Batches_are_filled_up_to_their_longest_sequence()
    {
        Tiny.WriteData(Folder, [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10]], 5, 3, endsEarly: true);
        using var data = SampledData.Open(Folder);
        data.Manifest.Tokens.ShouldBe(10);
        var batch = data.Batch([2, 0]);
        batch.Tokens.ShouldBe([5, 6, 6, 1, 2, 3]);
        batch.Lengths.ShouldBe([2, 3]);
        batch.Width.ShouldBe(3);
        data.Batches(3).Select(part => (part.Count, part.Width)).ShouldBe([(3, 3), (1, 4)]);
        data.Batches(3).Last().Indices.ShouldBe([3]);
        var whole = new int[5];
        data.Read(1, whole);
        whole.ShouldBe([4, 4, 4, 4, 4]);
    }

    [Fact]
    public void The_digest_is_the_datas_own()
    {
        Tiny.WriteData(Folder, Tiny.RandomSequences(4, 6), 6, 2);
        Tiny.WriteData(_folder["same"], Tiny.RandomSequences(4, 6), 6, 2);
        Tiny.WriteData(_folder["other"], Tiny.RandomSequences(4, 6, seed: 10), 6, 2);
        using SampledData data = SampledData.Open(Folder), same = SampledData.Open(_folder["same"]), other = SampledData.Open(_folder["other"]);
        same.Digest.ShouldBe(data.Digest);
        other.Digest.ShouldNotBe(data.Digest);
    }

    [Fact]
    public void Another_teacher_is_refused()
    {
        Tiny.WriteData(Folder, Tiny.RandomSequences(2, 6), 6, 2);
        using var data = SampledData.Open(Folder);
        data.CheckTeacher(Tiny.Digest);
        Should.Throw<InvalidInputException>(() => data.CheckTeacher(Tiny.OtherDigest)).Message.ShouldContain("another teacher");
    }

    [Fact]
    public void Folders_without_a_manifest_are_refused_with_the_remedy()
    {
        Refused("no such folder");
        Directory.CreateDirectory(Folder);
        Refused("is not a folder of sampled data");
        Tiny.WriteData(Folder, Tiny.RandomSequences(4, 6), 6, 2);
        File.Delete(Manifest);
        Refused("not finished");
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{\"format\": 3}")]
    [InlineData("{\"format\": \"qbb sampled data 1\", \"shards\": null}")]
    public void Damaged_manifests_are_refused(string text)
    {
        Directory.CreateDirectory(Folder);
        File.WriteAllText(Manifest, text);
        Refused(DataManifest.FileName);
    }

    [Fact]
    public void Manifests_that_lie_are_refused()
    {
        Tiny.WriteData(Folder, Tiny.RandomSequences(4, 6), 6, 2);
        var manifest = DataManifest.Read(Manifest).Manifest;
        void Lie(DataManifest lie, string word)
        {
            lie.Write(Folder);
            Refused(word);
        }
        var options = manifest.Origin.Options;
        Lie(manifest with { Format = "qbb sampled data 9" }, "qbb sampled data 9");
        Lie(manifest with { Sequences = 5 }, "5 sequences");
        Lie(manifest with { Shards = [manifest.Shards[0] with { Sequences = 3 }] }, "holds 2 sequences");
        Lie(manifest with { Shards = [manifest.Shards[0] with { File = "../x" }] }, "not a plain file name");
        Lie(manifest with { Origin = manifest.Origin with { VocabularySize = 3 } }, "the vocabulary has 3");
        Lie(manifest with { Origin = manifest.Origin with { VocabularySize = 0 } }, "positive");
        Lie(manifest with { Origin = manifest.Origin with { Options = options with { Length = 7 } } }, "[n, 7]");
        Lie(manifest with { Origin = manifest.Origin with { Options = options with { Length = int.MaxValue } } }, "no tensor tokens");
    }

    [Fact]
    public void Damaged_and_missing_shards_are_refused()
    {
        Tiny.WriteData(Folder, Tiny.RandomSequences(4, 6), 6, 2, endsEarly: true);
        var bytes = File.ReadAllBytes(Shard);
        File.WriteAllBytes(Shard, [.. bytes[..^1], (byte)(bytes[^1] ^ 1)]);
        Refused("sequences-00001.safetensors: the shard is damaged");
        File.Delete(Shard);
        Refused("sequences-00001.safetensors: the shard is missing");
        // A length beyond the row, under a digest that fits.
        File.WriteAllBytes(Shard, [.. bytes[..^4], 9, 0, 0, 0]);
        var manifest = DataManifest.Read(Manifest).Manifest;
        (manifest with { Shards = [manifest.Shards[0], manifest.Shards[1] with { Sha256 = ShardFile.Sha256(Shard) }] }).Write(Folder);
        Refused("no length in 1 … 6");
    }

    public void Dispose() => _folder.Dispose();

    private void Refused(string word) => Should.Throw<InvalidInputException>(() => SampledData.Open(Folder)).Message.ShouldContain(word);
}

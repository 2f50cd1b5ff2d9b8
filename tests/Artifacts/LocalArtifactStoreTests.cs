using System.Security.Cryptography;
using Qbb.Contracts;
using Qbb.Tests;

namespace Qbb.Artifacts.Tests;

public sealed class LocalArtifactStoreTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly LocalArtifactStore _store;

    public LocalArtifactStoreTests() => _store = new LocalArtifactStore(_folder.Path);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData((1 << 20) - 1)]
    [InlineData(1 << 20)]
    [InlineData((3 << 20) + 5)]
    public async Task Bytes_come_back_as_they_were_put(int size)
    {
        var bytes = RandomBytes(size);
        var blob = await _store.PutAsync(new Trickle(bytes));
        blob.Digest.ShouldBe(Digest.Of(bytes));
        blob.Size.ShouldBe(size);
        (await ReadAsync(blob.Digest)).ShouldBe(bytes);
        Incoming().ShouldBeEmpty();
    }

    [Fact]
    public async Task The_same_bytes_are_kept_once()
    {
        var first = await _store.PutAsync(new MemoryStream([1, 2, 3]));
        var again = await _store.PutAsync(new MemoryStream([1, 2, 3]));
        again.Digest.ShouldBe(first.Digest);
        (await _store.ListAsync().ToListAsync()).Count.ShouldBe(1);
    }

    [Theory]
    [InlineData(0, 10)]
    [InlineData(5, 1)]
    [InlineData(7, 100)]
    [InlineData(10, 0)]
    public async Task A_range_is_read_without_the_rest(int offset, int length)
    {
        byte[] bytes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        var blob = await _store.PutAsync(new MemoryStream(bytes));
        (await ReadAsync(blob.Digest, offset, length)).ShouldBe(bytes.Skip(offset).Take(length));
    }

    [Fact]
    public async Task A_range_outside_is_refused()
    {
        var blob = await _store.PutAsync(new MemoryStream([1]));
        await Should.ThrowAsync<ArgumentOutOfRangeException>(() => _store.OpenReadAsync(blob.Digest, 2));
    }

    [Fact]
    public async Task Bytes_of_another_digest_are_not_kept()
    {
        var wrong = Digest.Of("something else");
        var error = await Should.ThrowAsync<DigestMismatchException>(() => _store.PutAsync(new MemoryStream([1, 2, 3]), wrong));
        error.Expected.ShouldBe(wrong);
        (await _store.ListAsync().ToListAsync()).ShouldBeEmpty();
        Incoming().ShouldBeEmpty();
    }

    [Fact]
    public async Task A_sender_that_breaks_off_leaves_nothing()
    {
        await Should.ThrowAsync<EndOfStreamException>(() => _store.PutAsync(new Trickle(RandomBytes(5000), breakAt: 3000)));
        (await _store.ListAsync().ToListAsync()).ShouldBeEmpty();
        Incoming().ShouldBeEmpty();
    }

    [Fact]
    public async Task Damage_is_found_when_the_whole_is_read()
    {
        var bytes = RandomBytes(100_000);
        var blob = await _store.PutAsync(new MemoryStream(bytes));
        var path = await _store.FetchAsync(blob.Digest);
        File.Delete(path);
        bytes[50_000] ^= 1;
        await File.WriteAllBytesAsync(path, bytes);
        await Should.ThrowAsync<DigestMismatchException>(() => ReadAsync(blob.Digest));
    }

    [Fact]
    public async Task What_is_not_there_is_said_to_be_missing()
    {
        var digest = Digest.Of("nothing");
        await Should.ThrowAsync<BlobNotFoundException>(() => _store.OpenReadAsync(digest));
        (await _store.FindAsync(digest)).ShouldBeNull();
        (await _store.KeepAsync(digest)).ShouldBeFalse();
        (await _store.DeleteAsync(digest)).ShouldBeFalse();
    }

    [Fact]
    public async Task Keeping_makes_a_blob_new_again()
    {
        var blob = await _store.PutAsync(new MemoryStream([1]));
        File.SetLastWriteTimeUtc(await _store.FetchAsync(blob.Digest), DateTime.UtcNow.AddDays(-3));
        (await _store.FindAsync(blob.Digest))!.LastUsed.ShouldBeLessThan(DateTimeOffset.UtcNow.AddDays(-2));
        (await _store.KeepAsync(blob.Digest)).ShouldBeTrue();
        (await _store.FindAsync(blob.Digest))!.LastUsed.ShouldBeGreaterThan(DateTimeOffset.UtcNow.AddMinutes(-5));
    }

    [Fact]
    public async Task Many_may_put_the_same_bytes_at_once()
    {
        var bytes = RandomBytes(1 << 20);
        var digests = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(async () => (await _store.PutAsync(new MemoryStream(bytes))).Digest)));
        digests.Distinct().Count().ShouldBe(1);
        (await ReadAsync(digests[0])).ShouldBe(bytes);
        Incoming().ShouldBeEmpty();
    }

    [Fact]
    public void A_folder_that_cannot_be_made_is_named()
    {
        var file = _folder.Write("file", "text");
        Should.Throw<ArtifactStoreException>(() => new LocalArtifactStore(Path.Combine(file, "store"))).Message.ShouldContain(file);
    }

    private string[] Incoming() => Directory.GetFiles(Path.Combine(_folder.Path, "incoming"));

    private async Task<byte[]> ReadAsync(Digest digest, long offset = 0, long? length = null)
    {
        await using var stream = await _store.OpenReadAsync(digest, offset, length);
        using var bytes = new MemoryStream();
        await stream.CopyToAsync(bytes);
        return bytes.ToArray();
    }

    private static byte[] RandomBytes(int size) => RandomNumberGenerator.GetBytes(size);
}

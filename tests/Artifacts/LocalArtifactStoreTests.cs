using Qbb.Tests;

namespace Qbb.Artifacts.Tests;

public sealed class LocalArtifactStoreTests : ArtifactStoreTests, IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly LocalArtifactStore _store;

    public LocalArtifactStoreTests() => _store = new LocalArtifactStore(_folder.Path);

    protected override IArtifactStore Store => _store;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_link_stays_when_the_blob_goes()
    {
        var blob = await _store.PutAsync(new MemoryStream([1, 2, 3]));
        await _store.LinkAsync(blob.Digest, _folder.File("link"));
        await _store.DeleteAsync(blob.Digest);
        (await File.ReadAllBytesAsync(_folder.File("link"))).ShouldBe([1, 2, 3]);
        await Should.ThrowAsync<BlobNotFoundException>(() => _store.LinkAsync(blob.Digest, _folder.File("again")));
    }

    [Fact]
    public async Task A_damaged_blob_is_not_linked()
    {
        var blob = await _store.PutAsync(new MemoryStream([1, 2, 3]));
        await DamageAsync(blob.Digest, [3, 2, 1]);
        // A process that did not see it come in.
        var other = new LocalArtifactStore(_folder.Path);
        await Should.ThrowAsync<DigestMismatchException>(() => other.LinkAsync(blob.Digest, _folder.File("link")));
        File.Exists(_folder.File("link")).ShouldBeFalse();
    }

    [Fact]
    public void A_folder_that_cannot_be_made_is_named()
    {
        var file = _folder.Write("file", "text");
        Should.Throw<ArtifactStoreException>(() => new LocalArtifactStore(Path.Combine(file, "store"))).Message.ShouldContain(file);
    }

    protected override Task<int> CountLeftoversAsync() => Task.FromResult(Directory.GetFiles(_folder.File("incoming")).Length);

    protected override Task LeaveHalfAsync(Digest digest) => File.WriteAllBytesAsync(_folder.File("incoming/half"), new byte[100]);

    protected override Task DamageAsync(Digest digest, byte[] bytes)
    {
        File.Delete(_store.PathOf(digest));
        return File.WriteAllBytesAsync(_store.PathOf(digest), bytes);
    }
}

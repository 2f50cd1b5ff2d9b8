using System.Security.Cryptography;
using Qbb.Artifacts.S3;
using Qbb.Tests;

namespace Qbb.Artifacts.Tests.S3;

public sealed class CachedBlobsTests : IDisposable
{
    private const int Size = 1000;
    private const long NoLimit = long.MaxValue;
    private readonly TemporaryFolder _folder = new();
    private readonly FarStore _far;
    private int _links;

    public CachedBlobsTests() => _far = new FarStore(new LocalArtifactStore(_folder.File("far")));

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_blob_is_fetched_once_and_given_away_as_links()
    {
        var cache = Cache(NoLimit);
        var (digest, bytes) = await PutAsync();
        var links = new[] { await LinkAsync(cache, digest), await LinkAsync(cache, digest), await LinkAsync(Cache(NoLimit), digest) };
        foreach (var link in links)
            (await File.ReadAllBytesAsync(link)).ShouldBe(bytes);
        _far.Fetched.ShouldBe(1);
        FileLinks.CountOf(links[0]).ShouldBe(4, "the cache's name and three more of one file");
    }

    [Fact]
    public async Task What_was_used_longest_ago_goes_first()
    {
        var cache = Cache(3 * Size);
        var digests = new List<Digest>();
        for (var k = 0; k < 3; k++)
        {
            digests.Add((await PutAsync()).Digest);
            await UseAsync(cache, digests[k]);
        }
        await UseAsync(cache, digests[0]);
        digests.Add((await PutAsync()).Digest);
        await UseAsync(cache, digests[3]);
        Cached().ShouldBe([digests[0], digests[2], digests[3]], ignoreOrder: true);
        _far.Fetched.ShouldBe(4);
    }

    [Fact]
    public async Task What_is_in_use_stays_until_it_is_not()
    {
        var cache = Cache(Size);
        var used = new List<(Digest Digest, string Link)>();
        for (var k = 0; k < 3; k++)
        {
            var (digest, _) = await PutAsync();
            used.Add((digest, await LinkAsync(cache, digest)));
        }
        Cached().ShouldBe(used.Select(one => one.Digest), ignoreOrder: true);
        File.Delete(used[0].Link);
        File.Delete(used[1].Link);
        var (next, _) = await PutAsync();
        await UseAsync(cache, next);
        Cached().ShouldBe([used[2].Digest, next], ignoreOrder: true);
    }

    [Fact]
    public async Task A_blob_larger_than_the_limit_comes_through_all_the_same()
    {
        var cache = Cache(Size / 2);
        var (digest, bytes) = await PutAsync();
        var link = await LinkAsync(cache, digest);
        (await File.ReadAllBytesAsync(link)).ShouldBe(bytes);
        File.Delete(link);
        var (next, _) = await PutAsync();
        await LinkAsync(cache, next);
        Cached().ShouldBe([next]);
    }

    [Fact]
    public async Task A_damaged_file_is_dropped_and_fetched_again()
    {
        var (digest, bytes) = await PutAsync();
        await UseAsync(Cache(NoLimit), digest);
        var file = Directory.GetFiles(_folder.File("cache/blobs"), digest.Value, SearchOption.AllDirectories).Single();
        File.Delete(file);
        await File.WriteAllBytesAsync(file, RandomNumberGenerator.GetBytes(Size));
        (await File.ReadAllBytesAsync(await LinkAsync(Cache(NoLimit), digest))).ShouldBe(bytes);
        _far.Fetched.ShouldBe(2);
    }

    [Fact]
    public async Task What_comes_damaged_is_not_kept()
    {
        var (digest, _) = await PutAsync();
        _far.Instead = RandomNumberGenerator.GetBytes(Size);
        await Should.ThrowAsync<DigestMismatchException>(() => LinkAsync(Cache(NoLimit), digest));
        Cached().ShouldBeEmpty();
        Directory.GetFiles(_folder.File("cache/incoming")).ShouldBeEmpty();
        await Should.ThrowAsync<BlobNotFoundException>(async () =>
        {
            _far.Instead = null;
            await LinkAsync(Cache(NoLimit), Digest.Of("nothing"));
        });
    }

    [Fact]
    public async Task Many_that_share_a_folder_fetch_once_and_never_lose_what_they_link()
    {
        var digests = new List<(Digest Digest, byte[] Bytes)>();
        for (var k = 0; k < 6; k++)
            digests.Add(await PutAsync());
        // Each of its own, as processes have it; the limit makes them clear all the time.
        await Task.WhenAll(Enumerable.Range(0, 8).Select(k => Task.Run(async () =>
        {
            var cache = Cache(2 * Size);
            for (var j = 0; j < 24; j++)
            {
                var (digest, bytes) = digests[(j + k) % digests.Count];
                var link = await LinkAsync(cache, digest);
                (await File.ReadAllBytesAsync(link)).ShouldBe(bytes);
                File.Delete(link);
            }
        })));
        var before = _far.Fetched;
        var (late, _) = await PutAsync();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => LinkAsync(Cache(NoLimit), late))));
        _far.Fetched.ShouldBe(before + 1);
    }

    private CachedBlobs Cache(long limit) => new(_far, _folder.File("cache"), limit);

    private async Task<(Digest Digest, byte[] Bytes)> PutAsync()
    {
        var bytes = RandomNumberGenerator.GetBytes(Size);
        return ((await _far.PutAsync(new MemoryStream(bytes))).Digest, bytes);
    }

    private async Task<string> LinkAsync(CachedBlobs cache, Digest digest)
    {
        var link = _folder.File($"link-{Interlocked.Increment(ref _links)}");
        await cache.LinkAsync(digest, link);
        return link;
    }

    private async Task UseAsync(CachedBlobs cache, Digest digest)
    {
        File.Delete(await LinkAsync(cache, digest));
        // Files' times are finer than this.
        await Task.Delay(10);
    }

    private List<Digest> Cached() => [.. Directory.GetFiles(_folder.File("cache/blobs"), "*", SearchOption.AllDirectories).Select(file => Digest.Parse(Path.GetFileName(file)))];
}

using System.Security.Cryptography;

namespace Qbb.Artifacts.Tests;

/// <summary>What every store must do.</summary>
public abstract class ArtifactStoreTests
{
    private const int ManyBytes = (20 << 20) + 5;

    protected abstract IArtifactStore Store { get; }

    /// <summary>What uploads that did not end well have left.</summary>
    protected abstract Task<int> CountLeftoversAsync();

    /// <summary>Leaves what a process leaves that is killed in the middle of an upload.</summary>
    protected abstract Task LeaveHalfAsync(Digest digest);

    /// <summary>Changes a blob behind the store's back.</summary>
    protected abstract Task DamageAsync(Digest digest, byte[] bytes);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(1 << 20)]
    [InlineData((8 << 20) - 1)]
    [InlineData(8 << 20)]
    [InlineData((8 << 20) + 1)]
    [InlineData(ManyBytes)]
    public async Task Bytes_come_back_as_they_were_put(int size)
    {
        var bytes = RandomNumberGenerator.GetBytes(size);
        var blob = await Store.PutAsync(new Trickle(bytes));
        blob.Digest.ShouldBe(Digest.Of(bytes));
        blob.Size.ShouldBe(size);
        (await Store.FindAsync(blob.Digest))!.Size.ShouldBe(size);
        (await ReadAsync(blob.Digest)).SequenceEqual(bytes).ShouldBeTrue();
        (await CountLeftoversAsync()).ShouldBe(0);
    }

    [Theory]
    [InlineData(100)]
    [InlineData(ManyBytes)]
    public async Task A_digest_that_is_known_before_is_checked(int size)
    {
        var bytes = RandomNumberGenerator.GetBytes(size);
        (await Store.PutAsync(new Trickle(bytes), Digest.Of(bytes))).Size.ShouldBe(size);
        (await ReadAsync(Digest.Of(bytes))).SequenceEqual(bytes).ShouldBeTrue();
    }

    [Fact]
    public async Task The_same_bytes_are_kept_once()
    {
        var first = await Store.PutAsync(new MemoryStream([1, 2, 3]));
        var again = await Store.PutAsync(new MemoryStream([1, 2, 3]));
        again.Digest.ShouldBe(first.Digest);
        again.Size.ShouldBe(3);
        (await Store.ListAsync().ToListAsync()).Count.ShouldBe(1);
    }

    [Theory]
    [InlineData(0, 10)]
    [InlineData(5, 1)]
    [InlineData(7, 100)]
    [InlineData(10, 0)]
    [InlineData(3, null)]
    [InlineData(10, null)]
    public async Task A_range_is_read_without_the_rest(int offset, int? length)
    {
        byte[] bytes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        var blob = await Store.PutAsync(new MemoryStream(bytes));
        (await ReadAsync(blob.Digest, offset, length)).ShouldBe(bytes.Skip(offset).Take(length ?? 10));
    }

    [Fact]
    public async Task A_range_of_a_large_blob_is_read_over_the_parts_that_it_was_sent_in()
    {
        var bytes = RandomNumberGenerator.GetBytes(ManyBytes);
        var blob = await Store.PutAsync(new MemoryStream(bytes));
        (await ReadAsync(blob.Digest, (8 << 20) - 100, 200)).ShouldBe(bytes[((8 << 20) - 100)..((8 << 20) + 100)]);
    }

    [Fact]
    public async Task A_range_outside_is_refused()
    {
        var blob = await Store.PutAsync(new MemoryStream([1]));
        await Should.ThrowAsync<ArgumentOutOfRangeException>(() => Store.OpenReadAsync(blob.Digest, 2));
    }

    [Theory]
    [InlineData(3)]
    [InlineData(ManyBytes)]
    public async Task Bytes_of_another_digest_are_not_kept(int size)
    {
        var wrong = Digest.Of("something else");
        var error = await Should.ThrowAsync<DigestMismatchException>(() => Store.PutAsync(new MemoryStream(RandomNumberGenerator.GetBytes(size)), wrong));
        error.Expected.ShouldBe(wrong);
        await ShouldBeEmptyAsync();
    }

    [Theory]
    [InlineData(5000, 3000)]
    [InlineData(ManyBytes, 18 << 20)]
    public async Task A_sender_that_breaks_off_leaves_nothing(int size, int breakAt)
    {
        var bytes = RandomNumberGenerator.GetBytes(size);
        await Should.ThrowAsync<EndOfStreamException>(() => Store.PutAsync(new Trickle(bytes, breakAt)));
        await Should.ThrowAsync<EndOfStreamException>(() => Store.PutAsync(new Trickle(bytes, breakAt), Digest.Of(bytes)));
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task An_upload_that_is_cancelled_leaves_nothing()
    {
        using var cancel = new CancellationTokenSource();
        var bytes = RandomNumberGenerator.GetBytes(ManyBytes);
        var sender = new Trickle(bytes, 18 << 20, () =>
        {
            cancel.Cancel();
            cancel.Token.ThrowIfCancellationRequested();
        });
        await Should.ThrowAsync<OperationCanceledException>(() => Store.PutAsync(sender, Digest.Of(bytes), cancel.Token));
        await ShouldBeEmptyAsync();
    }

    [Fact]
    public async Task What_a_killed_process_left_is_no_blob_and_can_be_removed()
    {
        var digest = Digest.Of("half");
        await LeaveHalfAsync(digest);
        (await Store.FindAsync(digest)).ShouldBeNull();
        (await Store.ListAsync().ToListAsync()).ShouldBeEmpty();
        (await CountLeftoversAsync()).ShouldBe(1);
        await Store.RemoveAbandonedAsync(DateTimeOffset.UtcNow.AddHours(-1));
        (await CountLeftoversAsync()).ShouldBe(1, "it may still be on its way");
        await Store.RemoveAbandonedAsync(DateTimeOffset.UtcNow.AddMinutes(1));
        await ShouldBeEmptyAsync();
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(100_000, 100_000)]
    [InlineData(100_000, 99_999)]
    public async Task Damage_is_found_when_the_whole_is_read(int size, int damaged)
    {
        var blob = await Store.PutAsync(new MemoryStream(RandomNumberGenerator.GetBytes(size)));
        await DamageAsync(blob.Digest, RandomNumberGenerator.GetBytes(damaged));
        await Should.ThrowAsync<DigestMismatchException>(() => ReadAsync(blob.Digest));
    }

    [Fact]
    public async Task What_is_not_there_is_said_to_be_missing()
    {
        var digest = Digest.Of("nothing");
        await Should.ThrowAsync<BlobNotFoundException>(() => Store.OpenReadAsync(digest));
        await Should.ThrowAsync<BlobNotFoundException>(() => Store.OpenReadAsync(digest, 1, 1));
        (await Store.FindAsync(digest)).ShouldBeNull();
        (await Store.KeepAsync(digest)).ShouldBeFalse();
        (await Store.DeleteAsync(digest)).ShouldBeFalse();
        (await Store.ListAsync().ToListAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task Keeping_makes_a_blob_new_again()
    {
        var (kept, other) = (await Store.PutAsync(new MemoryStream([1])), await Store.PutAsync(new MemoryStream([2])));
        var before = (await Store.FindAsync(kept.Digest))!.LastUsed;
        // S3 tells times in whole seconds.
        await Task.Delay(1100);
        (await Store.KeepAsync(kept.Digest)).ShouldBeTrue();
        (await Store.FindAsync(kept.Digest))!.LastUsed.ShouldBeGreaterThan(before);
        var listed = await Store.ListAsync().ToDictionaryAsync(blob => blob.Digest);
        listed[kept.Digest].LastUsed.ShouldBeGreaterThan(before);
        listed[other.Digest].LastUsed.ShouldBeLessThan(listed[kept.Digest].LastUsed);
    }

    [Theory]
    [InlineData(1 << 20)]
    [InlineData((9 << 20) + 1)]
    public async Task Many_may_put_the_same_bytes_at_once(int size)
    {
        var bytes = RandomNumberGenerator.GetBytes(size);
        var digests = await Task.WhenAll(Enumerable.Range(0, 8).Select(k => Task.Run(async () =>
            (await Store.PutAsync(new MemoryStream(bytes), k % 2 == 0 ? Digest.Of(bytes) : null)).Digest)));
        digests.Distinct().Count().ShouldBe(1);
        (await ReadAsync(digests[0])).SequenceEqual(bytes).ShouldBeTrue();
        (await Store.ListAsync().ToListAsync()).Count.ShouldBe(1);
        (await CountLeftoversAsync()).ShouldBe(0);
    }

    [Fact]
    public async Task All_blobs_are_listed_and_what_is_deleted_is_not()
    {
        // More than one page of S3's.
        const int Count = 1005;
        foreach (var some in Enumerable.Range(0, Count).Chunk(50))
            await Task.WhenAll(some.Select(k => Store.PutAsync(new MemoryStream(BitConverter.GetBytes(k)))));
        var listed = await Store.ListAsync().ToListAsync();
        listed.Select(blob => blob.Digest).ToHashSet().ShouldBe(Enumerable.Range(0, Count).Select(k => Digest.Of(BitConverter.GetBytes(k))), ignoreOrder: true);
        listed.ShouldAllBe(blob => blob.Size == sizeof(int));

        (await Store.DeleteAsync(listed[0].Digest)).ShouldBeTrue();
        (await Store.DeleteAsync(listed[0].Digest)).ShouldBeFalse();
        (await Store.ListAsync().CountAsync()).ShouldBe(Count - 1);
    }

    [Fact]
    public async Task What_was_used_meanwhile_is_not_removed()
    {
        var blobs = new List<BlobInfo>();
        for (var k = 0; k < 3; k++)
            blobs.Add(await Store.PutAsync(new MemoryStream([(byte)k])));
        var digests = blobs.Select(blob => blob.Digest).ToList();
        (await Store.RemoveAsync(digests, DateTimeOffset.UtcNow.AddMinutes(-1))).ShouldBeEmpty();
        (await Store.RemoveAsync(digests[..2], DateTimeOffset.UtcNow.AddMinutes(1))).ShouldBe(digests[..2], ignoreOrder: true);
        (await Store.ListAsync().ToListAsync()).Select(blob => blob.Digest).ShouldBe([digests[2]]);
        (await Store.RemoveAsync([], DateTimeOffset.UtcNow)).ShouldBeEmpty();
    }

    private async Task ShouldBeEmptyAsync()
    {
        (await Store.ListAsync().ToListAsync()).ShouldBeEmpty();
        (await CountLeftoversAsync()).ShouldBe(0);
    }

    protected async Task<byte[]> ReadAsync(Digest digest, long offset = 0, long? length = null)
    {
        await using var stream = await Store.OpenReadAsync(digest, offset, length);
        using var bytes = new MemoryStream();
        await stream.CopyToAsync(bytes);
        return bytes.ToArray();
    }
}

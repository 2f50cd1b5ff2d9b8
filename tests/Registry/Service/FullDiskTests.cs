using System.Net;
using Microsoft.EntityFrameworkCore;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

public sealed class FullDiskTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_full_disk_refuses_the_upload_and_leaves_nothing_of_it()
    {
        var folder = _folder.File("store");
        using var disk = SmallDisk.TryMount(folder, megabytes: 4);
        Assert.SkipWhen(disk is null, "needs the right to mount a small disk");
        await using var server = await RegistryServer.StartAsync(_folder);
        var large = new byte[6 << 20];
        var refused = await RegistryServer.RefusedAsync(HttpStatusCode.InsufficientStorage, () => server.PutAsync(large));
        refused.Message.ShouldContain("see that the disk has room");
        refused.Message.ShouldNotContain(_folder.Path);
        Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).ShouldBeEmpty();
        var dry = await server.CollectAsync(dryRun: true);
        (dry.Blobs, dry.Leases).ShouldBe((0, 0));
        (await server.InDatabaseAsync(context => context.Leases.CountAsync())).ShouldBe(0);

        await server.UploadAsync("tiny");
    }

    public void Dispose() => _folder.Dispose();
}

using System.Diagnostics;
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
        var disk = _folder.File("store");
        Directory.CreateDirectory(disk);
        Assert.SkipUnless(Run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk), "needs the right to mount a small disk");
        try
        {
            await using var server = await RegistryServer.StartAsync(_folder);
            var large = new byte[6 << 20];
            var refused = await RegistryServer.RefusedAsync(HttpStatusCode.InsufficientStorage, () => server.PutAsync(large));
            refused.Message.ShouldContain("see that the disk has room");
            refused.Message.ShouldNotContain(_folder.Path);
            Directory.EnumerateFiles(disk, "*", SearchOption.AllDirectories).ShouldBeEmpty();
            var dry = await server.CollectAsync(dryRun: true);
            (dry.Blobs, dry.Leases).ShouldBe((0, 0));
            (await server.InDatabaseAsync(context => context.Leases.CountAsync())).ShouldBe(0);

            await server.UploadAsync("tiny");
        }
        finally
        {
            Run("umount", disk).ShouldBeTrue();
        }
    }

    public void Dispose() => _folder.Dispose();

    private static bool Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}

using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>Whatever is refused says why, and leaves neither rows nor blobs: the collector proves it.</summary>
public sealed class BadInputTests : IDisposable
{
    private const string Plain = """{"decomposition":{"bases":2}}""";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Files_that_are_missing_are_named()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        await server.PutAsync(files["config.json"]);
        var refused = await RegistryServer.RefusedAsync(
            HttpStatusCode.Conflict, () => server.Api.CreateVersionAsync("tiny", RegistryServer.RequestOf(files)));
        refused.Errors.ShouldBe(["model.safetensors"]);
        refused.Message.ShouldEndWith(": model.safetensors");
        refused.Message.ShouldContain("1 of 2 files are not in the store: upload them with PUT /api/blobs/DIGEST");
        await ShouldHaveNothingAsync(server);
    }

    [Fact]
    public async Task A_size_that_is_not_the_files_is_refused()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        foreach (var bytes in files.Values)
            await server.PutAsync(bytes);
        var entries = RegistryServer.RequestOf(files).Files.Select(file => file with { Size = file.Size + 1 });
        var refused = await RegistryServer.RefusedAsync(HttpStatusCode.BadRequest, () => server.Api.CreateVersionAsync("tiny", new VersionRequest([.. entries])));
        refused.Message.ShouldContain("model.safetensors has 10000 bytes, not 10001");
        await ShouldHaveNothingAsync(server);
    }

    [Fact]
    public async Task Bytes_of_another_digest_leave_no_row_either()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var digest = Digest.Of("right");
        var refused = await RegistryServer.RefusedAsync(
            HttpStatusCode.BadRequest, () => server.Api.PutBlobAsync(digest, new ByteArrayContent("wrong"u8.ToArray())));
        refused.Message.ShouldContain($"not {digest} as they should");
        await ShouldHaveNothingAsync(server, leases: 0);
    }

    [Fact]
    public async Task A_sender_that_breaks_off_leaves_nothing()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        using (var sender = new TcpClient())
        {
            await sender.ConnectAsync(server.Client.BaseAddress!.Host, server.Client.BaseAddress.Port);
            await sender.GetStream().WriteAsync(Encoding.ASCII.GetBytes(
                $"PUT /api/blobs/{Digest.Of("something")} HTTP/1.1\r\nHost: {server.Client.BaseAddress.Authority}\r\nContent-Length: 4000000\r\n\r\n"));
            await sender.GetStream().WriteAsync(new byte[3 << 20]);
            await RegistryServer.UntilAsync(() => Task.FromResult(Incoming().Length == 1));
        }
        await RegistryServer.UntilAsync(() => Task.FromResult(Incoming().Length == 0));
        await ShouldHaveNothingAsync(server, leases: 0);
    }

    [Theory]
    [InlineData("../model.safetensors", "must not step up")]
    [InlineData("/etc/model.safetensors", "must be relative")]
    [InlineData("a\0/model.safetensors", "no control characters")]
    public async Task Names_with_tricks_are_refused(string name, string reason)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        files[name] = "x"u8.ToArray();
        foreach (var bytes in files.Values)
            await server.PutAsync(bytes);
        var refused = await RegistryServer.RefusedAsync(
            HttpStatusCode.BadRequest, () => server.Api.CreateVersionAsync("tiny", RegistryServer.RequestOf(files)));
        refused.Message.ShouldContain(reason);
        await ShouldHaveNothingAsync(server);
    }

    [Fact]
    public async Task A_recipe_is_refused_with_everything_that_is_wrong()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        const string Recipe = """{"decomposition":{"distillation":{}},"more":1,"filter":{},"evaluation":{"text":"x","sampling":{}}}""";
        var refused = await RegistryServer.RefusedAsync(HttpStatusCode.UnprocessableEntity, () => server.StartAsync(Recipe));
        foreach (var problem in new[] { "unknown member more", "filter is given but", "distillation belongs beside", "is not a digest", "both text and sampling" })
            refused.Message.ShouldContain(problem);
        await ShouldHaveAsync(server, versions: 1, blobs: 3);
    }

    [Fact]
    public async Task A_pipeline_of_a_model_that_is_not_there_leaves_no_recipe()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await RegistryServer.RefusedAsync(HttpStatusCode.NotFound, () => server.StartAsync(Plain));
        (await server.Store.ListAsync().CountAsync()).ShouldBe(0);
        await ShouldHaveNothingAsync(server, leases: 0);
    }

    [Fact]
    public async Task A_model_that_cannot_be_read_fails_its_pipeline()
    {
        const string Reason = "model.safetensors is not a safetensors file: the header is cut off";
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Refuse = command => command is DecomposeLayers ? Reason : null });
        await server.UploadAsync("tiny");
        var ended = await server.EndOfAsync(await server.StartAsync(Plain));
        ended.State.ShouldBe(PipelineState.Failed);
        ended.Error!.ShouldContain(Reason);
        await ShouldHaveAsync(server, versions: 1, blobs: 3);
    }

    [Fact]
    public async Task A_cancelled_pipeline_leaves_nothing()
    {
        var hold = new TaskCompletionSource();
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = hold.Task });
        await server.UploadAsync("tiny");
        var id = await server.StartAsync(Plain);
        await server.Api.CancelPipelineAsync(id);
        var ended = await server.EndOfAsync(id);
        ended.State.ShouldBe(PipelineState.Cancelled);
        hold.SetResult();
        await Task.Delay(500);
        await ShouldHaveAsync(server, versions: 1, blobs: 3);
    }

    private string[] Incoming() => Directory.Exists(_folder.File("store/incoming")) ? Directory.GetFiles(_folder.File("store/incoming")) : [];

    /// <param name="server">Whose.</param>
    /// <param name="leases">Of uploads that may yet go on; null for any number.</param>
    private static async Task ShouldHaveNothingAsync(RegistryServer server, int? leases = null)
    {
        if (leases is { } known)
            (await server.InDatabaseAsync(context => context.Leases.CountAsync())).ShouldBe(known);
        await ShouldHaveAsync(server, versions: 0, blobs: 0);
        (await server.InDatabaseAsync(context => context.Models.CountAsync())).ShouldBe(0);
    }

    /// <summary>What a collection spares is what versions have, and a second one finds nothing more.</summary>
    private static async Task ShouldHaveAsync(RegistryServer server, int versions, int blobs)
    {
        // What was uploaded for a version that never came may be used for some hours.
        await server.ExpireLeasesAsync();
        await server.CollectAsync();
        var dry = await server.CollectAsync(dryRun: true);
        (dry with { KeptBytes = 0 }).ShouldBe(new CollectionReport(true, 0, 0, 0, 0, 0, blobs, 0));
        (await server.InDatabaseAsync(context => context.Versions.CountAsync())).ShouldBe(versions);
        (await server.InDatabaseAsync(context => context.Leases.CountAsync())).ShouldBe(0);
        // What the end of a pipeline says is on its way still.
        await RegistryServer.UntilAsync(() => server.InDatabaseAsync(async context => !await context.Outbox.AnyAsync()));
    }
}

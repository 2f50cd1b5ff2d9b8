using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
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
        await PutAsync(server, files["config.json"]);
        var (status, detail) = await SaidAsync(await server.PostVersionAsync("tiny", files));
        status.ShouldBe(HttpStatusCode.Conflict);
        detail.ShouldContain("1 of 2 files are not in the store: upload them with PUT /api/blobs/DIGEST");
        await ShouldHaveNothingAsync(server);
    }

    [Fact]
    public async Task A_size_that_is_not_the_files_is_refused()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var files = RegistryServer.SmallModel();
        foreach (var bytes in files.Values)
            await PutAsync(server, bytes);
        var response = await server.Client.PostAsJsonAsync("/api/models/tiny/versions", new
        {
            files = files.Select(file => new { name = file.Key, digest = RegistryServer.DigestOf(file.Value), size = file.Value.Length + 1 }),
        });
        (await SaidAsync(response)).Detail.ShouldContain("model.safetensors has 10000 bytes, not 10001");
        await ShouldHaveNothingAsync(server);
    }

    [Fact]
    public async Task Bytes_of_another_digest_leave_no_row_either()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var digest = RegistryServer.DigestOf("right"u8.ToArray());
        var (status, detail) = await SaidAsync(await server.Client.PutAsync($"/api/blobs/{digest}", new ByteArrayContent("wrong"u8.ToArray())));
        status.ShouldBe(HttpStatusCode.BadRequest);
        detail.ShouldContain($"not {digest} as they should");
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
            await UntilAsync(() => Incoming().Length == 1);
        }
        await UntilAsync(() => Incoming().Length == 0);
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
            await PutAsync(server, bytes);
        var (status, detail) = await SaidAsync(await server.PostVersionAsync("tiny", files));
        status.ShouldBe(HttpStatusCode.BadRequest);
        detail.ShouldContain(reason);
        await ShouldHaveNothingAsync(server);
    }

    [Fact]
    public async Task A_recipe_is_refused_with_everything_that_is_wrong()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        var (status, detail) = await StartAsync(server, """{"decomposition":{"distillation":{}},"more":1,"filter":{},"evaluation":{"text":"x","sampling":{}}}""");
        status.ShouldBe(HttpStatusCode.UnprocessableEntity);
        foreach (var problem in new[] { "unknown member more", "filter is given but", "distillation stands beside", "is no digest", "both text and sampling" })
            detail.ShouldContain(problem);
        await ShouldHaveAsync(server, versions: 1, blobs: 3);
    }

    [Fact]
    public async Task A_pipeline_of_a_model_that_is_not_there_leaves_no_recipe()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        (await StartAsync(server, Plain)).Status.ShouldBe(HttpStatusCode.NotFound);
        (await server.Store.ListAsync().CountAsync()).ShouldBe(0);
        await ShouldHaveNothingAsync(server, leases: 0);
    }

    [Fact]
    public async Task A_model_that_cannot_be_read_fails_its_pipeline()
    {
        const string Reason = "model.safetensors is no safetensors file: the header is cut off";
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Refuse = command => command is DecomposeLayers ? Reason : null });
        await server.UploadAsync("tiny");
        var started = await server.Client.PostAsJsonAsync("/api/pipelines", new { model = "tiny", recipe = JsonNode.Parse(Plain) });
        var ended = await server.EndOfAsync((await started.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!);
        ended.GetProperty("state").GetString().ShouldBe("failed");
        ended.GetProperty("error").GetString()!.ShouldContain(Reason);
        await ShouldHaveAsync(server, versions: 1, blobs: 3);
    }

    [Fact]
    public async Task A_cancelled_pipeline_leaves_nothing()
    {
        var hold = new TaskCompletionSource();
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = hold.Task });
        await server.UploadAsync("tiny");
        var started = await server.Client.PostAsJsonAsync("/api/pipelines", new { model = "tiny", recipe = JsonNode.Parse(Plain) });
        var id = (await started.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
        (await server.Client.DeleteAsync($"/api/pipelines/{id}")).EnsureSuccessStatusCode();
        var ended = await server.EndOfAsync(id);
        ended.GetProperty("state").GetString().ShouldBe("cancelled");
        hold.SetResult();
        await Task.Delay(500);
        await ShouldHaveAsync(server, versions: 1, blobs: 3);
    }

    private static async Task PutAsync(RegistryServer server, byte[] bytes) =>
        (await server.Client.PutAsync($"/api/blobs/{RegistryServer.DigestOf(bytes)}", new ByteArrayContent(bytes))).EnsureSuccessStatusCode();

    private static async Task<(HttpStatusCode Status, string Detail)> StartAsync(RegistryServer server, string recipe) =>
        await SaidAsync(await server.Client.PostAsJsonAsync("/api/pipelines", new { model = "tiny", recipe = JsonNode.Parse(recipe) }));

    private static async Task<(HttpStatusCode Status, string Detail)> SaidAsync(HttpResponseMessage response) =>
        (response.StatusCode, (await response.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("detail").GetString()!);

    private string[] Incoming() => Directory.Exists(_folder.File("store/incoming")) ? Directory.GetFiles(_folder.File("store/incoming")) : [];

    private static async Task UntilAsync(Func<bool> condition)
    {
        for (var tries = 0; !condition(); tries++)
        {
            tries.ShouldBeLessThan(200, "it does not happen");
            await Task.Delay(50);
        }
    }

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
        await server.CollectAsync(RegistryServer.Everything);
        var dry = await server.CollectAsync(RegistryServer.Everything + "&dryRun=true");
        foreach (var what in new[] { "versions", "results", "leases", "blobs", "bytes" })
            dry.GetProperty(what).GetInt64().ShouldBe(0, what);
        dry.GetProperty("kept").GetInt32().ShouldBe(blobs);
        (await server.InDatabaseAsync(context => context.Versions.CountAsync())).ShouldBe(versions);
        (await server.InDatabaseAsync(context => context.Leases.CountAsync())).ShouldBe(0);
        (await server.InDatabaseAsync(context => context.Outbox.CountAsync())).ShouldBe(0);
    }
}

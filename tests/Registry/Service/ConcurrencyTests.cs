using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Collecting;
using Qbb.Registry.Data;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>Changes at the same moment, on both databases: one after the other, or refused with a reason, and never half.</summary>
public sealed class ConcurrencyTests(PostgresServer postgres) : IClassFixture<PostgresServer>, IDisposable
{
    private const string Plain = """{"decomposition":{"bases":3}}""";
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Simultaneous_changes_never_fail_with_500(bool onPostgres)
    {
        await using var server = await StartAsync(onPostgres, new WorkerScript { Decompose = new TaskCompletionSource().Task });
        await server.UploadAsync("tiny");
        await server.UploadAsync("tiny", RegistryServer.SmallModel(seed: 1));
        var other = RegistryServer.SmallModel(seed: 2);
        foreach (var bytes in other.Values)
            await server.PutAsync(bytes);
        var policy = new { models = "*", recipes = new[] { new { name = "one", recipe = JsonNode.Parse(Plain) } } };
        Func<int, Task<HttpResponseMessage>>[] changes =
        [
            i => server.Client.PutAsJsonAsync("/api/models/tiny/aliases/best", new { version = 1 + i % 2 }),
            i => server.Client.DeleteAsync($"/api/models/tiny/aliases/{(i % 2 == 0 ? "best" : "none")}"),
            i => server.Client.PutAsJsonAsync("/api/models/tiny/versions/1/metrics", new Dictionary<string, double> { ["kl"] = i, [$"own{i % 3}"] = i }),
            i => server.Client.PutAsJsonAsync($"/api/models/tiny/versions/1/tags/key{i % 2}", new { value = $"{i}" }),
            i => server.Client.PutAsJsonAsync("/api/models/tiny/gate", new { maxKl = 1.0 + i }),
            i => server.Client.PatchAsJsonAsync("/api/models/tiny", new { description = $"{i}" }),
            i => i % 3 == 0 ? server.Client.DeleteAsync("/api/policies/p") : server.Client.PutAsJsonAsync("/api/policies/p", policy),
            i => server.PostVersionAsync("new", other),
            i => server.Client.PostAsJsonAsync("/api/pipelines", new { model = "tiny", version = 2, recipe = JsonNode.Parse(Plain) }),
        ];

        var answers = await Task.WhenAll(Enumerable.Range(0, 6 * changes.Length).Select(i => changes[i % changes.Length](i)));

        foreach (var answer in answers)
        {
            HttpStatusCode[] fine =
            [
                HttpStatusCode.OK, HttpStatusCode.Created, HttpStatusCode.Accepted, HttpStatusCode.NoContent, HttpStatusCode.NotFound, HttpStatusCode.Conflict,
                HttpStatusCode.ServiceUnavailable,
            ];
            fine.ShouldContain(answer.StatusCode, $"{answer.RequestMessage}: {await answer.Content.ReadAsStringAsync()}");
            if (answer.StatusCode == HttpStatusCode.ServiceUnavailable)
                answer.Headers.RetryAfter.ShouldNotBeNull();
        }
        (await server.Api.ListVersionsAsync("new")).Items.Count.ShouldBe(1);
        (await server.InDatabaseAsync(context => context.Pipelines.CountAsync(pipeline => pipeline.ModelName == "tiny" && pipeline.Status == PipelineStatus.Running))).ShouldBe(1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Requests_of_one_key_at_the_same_moment_do_it_once_and_have_one_answer(bool onPostgres)
    {
        await using var server = await StartAsync(onPostgres, new WorkerScript { Decompose = new TaskCompletionSource().Task });
        await server.UploadAsync("tiny");
        var ids = await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
            (await server.Api.StartPipelineAsync(new PipelineRequest("tiny", 1, JsonNode.Parse(Plain)), "key")).Id));
        ids.Distinct().Count().ShouldBe(1);
        (await server.InDatabaseAsync(context => context.Pipelines.CountAsync())).ShouldBe(1);
        (await server.InDatabaseAsync(context => context.IdempotentRequests.CountAsync(request => request.Key == "key"))).ShouldBe(1);
    }

    [Fact]
    public async Task A_busy_file_is_503_with_a_time_to_retry()
    {
        var file = _folder.File("registry.db");
        await using var server = await RegistryServer.StartAsync(_folder, null, $"--Database:ConnectionString=Data Source={file};Default Timeout=1");
        await server.UploadAsync("tiny");
        await using var other = new SqliteConnection($"Data Source={file}");
        await other.OpenAsync();
        await using (other.BeginTransaction(deferred: false))
        {
            var answer = await server.Client.PutAsJsonAsync("/api/models/tiny/aliases/best", new { version = 1 });
            answer.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
            answer.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(5));
        }
        (await server.Client.PutAsJsonAsync("/api/models/tiny/aliases/best", new { version = 1 })).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Only_the_constraint_that_was_meant_counts_as_a_duplicate(bool onPostgres)
    {
        await using var server = await StartAsync(onPostgres);
        await server.UploadAsync("tiny");
        async Task<DbUpdateException> FailureAsync(object row) => await server.InDatabaseAsync(async context =>
        {
            context.Add(row);
            return await Should.ThrowAsync<DbUpdateException>(() => context.SaveChangesAsync());
        });
        var model = await FailureAsync(new Model { Id = Guid.NewGuid(), Name = "tiny", CreatedAt = DateTimeOffset.UtcNow });
        Transience.IsDuplicate(model, "models").ShouldBeTrue();
        Transience.IsDuplicate(model, "versions", "policies").ShouldBeFalse();
        Transience.IsDuplicate(model).ShouldBeTrue();
        var orphan = await FailureAsync(new VersionTag { VersionId = Guid.NewGuid(), Key = "a", Value = "b" });
        Transience.IsDuplicate(orphan).ShouldBeFalse("its version is missing, which is a fault of ours");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Of_several_registries_one_collects_and_a_restart_does_not_begin_the_time_anew(bool onPostgres)
    {
        await using var server = await StartAsync(onPostgres);
        var (clock, day) = (new FakeTimeProvider(DateTimeOffset.UtcNow), TimeSpan.FromDays(1));
        async Task<int> RunsAsync(TimeSpan after)
        {
            clock.Advance(after);
            // Each as a registry of its own would.
            return (await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => Task.Run(() => server.InDatabaseAsync(async context =>
            {
                var turns = new CollectionTurns(context, clock);
                var collector = new Collector(context, server.Store, server.Services.GetRequiredService<IUnitResults>(), new References(context, server.Store), turns, clock);
                return await collector.RunIfDueAsync(new(day, day, day, day), day, CancellationToken.None);
            }))))).Count(report => report is not null);
        }
        (await RunsAsync(TimeSpan.Zero)).ShouldBe(0, "it has just been started for the first time");
        (await RunsAsync(day / 2)).ShouldBe(0);
        (await RunsAsync(day / 2)).ShouldBe(1);
        (await RunsAsync(day / 2)).ShouldBe(0);
        (await RunsAsync(day)).ShouldBe(1);

        // One that dies in between, or fails, has not collected; another takes over when its turn has run out.
        clock.Advance(day);
        (await server.InDatabaseAsync(context => new CollectionTurns(context, clock).TryTakeAsync(CancellationToken.None))).ShouldBeTrue();
        (await RunsAsync(TimeSpan.FromMinutes(4))).ShouldBe(0);
        (await RunsAsync(TimeSpan.FromMinutes(2))).ShouldBe(1);
        (await RunsAsync(TimeSpan.FromMinutes(2))).ShouldBe(0);
        (await server.Api.GetCollectionAsync()).LastAt!.Value.ShouldBe(clock.GetUtcNow() - TimeSpan.FromMinutes(2), TimeSpan.FromSeconds(1));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Uploads_during_collections_that_spare_nothing_lose_nothing(bool onPostgres)
    {
        await using var server = await StartAsync(onPostgres);
        // Every step of an upload lets a collection begin, which takes place during the next ones.
        using var steps = new SemaphoreSlim(0);
        using var stop = new CancellationTokenSource();
        var collected = 0;
        var collecting = Task.Run(async () =>
        {
            while (true)
            {
                await steps.WaitAsync();
                if (stop.IsCancellationRequested)
                    return;
                collected += (await server.CollectAsync()).Blobs;
            }
        });
        var uploads = Enumerable.Range(0, 3).Select(sender => Task.Run(async () =>
        {
            for (var k = 0; k < 7; k++)
            {
                // The same bytes again and again, which are garbage in between.
                var files = new Dictionary<string, byte[]>(RegistryServer.SmallModel(10 * sender + k % 3)) { ["config.json"] = Encoding.UTF8.GetBytes($"{{\"sender\":{sender}}}") };
                var own = files.Values.Select(bytes => Digest.Of(bytes).Value).ToList();
                UploadedVersion? uploaded = null;
                while (uploaded is null)
                {
                    try
                    {
                        foreach (var bytes in files.Values)
                        {
                            steps.Release();
                            await server.PutAsync(bytes);
                        }
                        steps.Release();
                        uploaded = await server.Api.CreateVersionAsync($"model-{sender}", RegistryServer.RequestOf(files));
                        steps.Release();
                    }
                    catch (RegistryRefusedException refused) when (refused.Status is HttpStatusCode.Conflict or HttpStatusCode.ServiceUnavailable)
                    {
                        // As a client does that is told so: the same again.
                    }
                }
                foreach (var (name, bytes) in files)
                    (await server.Client.GetByteArrayAsync($"/api/models/model-{sender}/versions/{uploaded.Version}/files/{name}")).ShouldBe(bytes);
                await server.Api.DeleteVersionAsync($"model-{sender}", $"{uploaded.Version}");
                await server.InDatabaseAsync(context => context.Leases.Where(lease => own.Contains(lease.Digest)).ExecuteDeleteAsync());
            }
        })).ToList();
        await Task.WhenAll(uploads);
        await stop.CancelAsync();
        steps.Release();
        await collecting;
        collected.ShouldBeGreaterThan(0);
        await server.ExpireLeasesAsync();
        await server.CollectAsync();
        (await server.Store.ListAsync().CountAsync()).ShouldBe(0);
    }

    [Fact]
    public async Task Of_two_collections_at_once_the_second_is_refused()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        (await server.Api.GetCollectionAsync()).Running.ShouldBeFalse();
        (await server.InDatabaseAsync(context => new CollectionTurns(context, TimeProvider.System).TryTakeAsync(CancellationToken.None))).ShouldBeTrue();
        (await server.Api.GetCollectionAsync()).Running.ShouldBeTrue();
        (await RegistryServer.RefusedAsync(HttpStatusCode.Conflict, () => server.CollectAsync())).Message.ShouldContain("under way");
        (await server.CollectAsync(dryRun: true)).DryRun.ShouldBeTrue();
    }

    [Fact]
    public async Task A_model_whose_deletion_is_refused_keeps_its_pipelines_running()
    {
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = new TaskCompletionSource().Task });
        await server.UploadAsync("tiny");
        var id = await server.StartAsync(Plain);
        var request = new HttpRequestMessage(HttpMethod.Delete, "/api/models/tiny");
        request.Headers.IfMatch.Add(new EntityTagHeaderValue("\"old\""));
        (await server.Client.SendAsync(request)).StatusCode.ShouldBe(HttpStatusCode.PreconditionFailed);
        (await server.Api.GetPipelineAsync(id)).State.ShouldBe(PipelineState.Running);
        await server.Api.DeleteModelAsync("tiny");
        (await server.Api.GetPipelineAsync(id)).State.ShouldBe(PipelineState.Cancelled);
    }

    [Fact]
    public async Task Running_pipelines_are_cancelled_and_ended_ones_removed()
    {
        await using var server = await RegistryServer.StartAsync(_folder, new WorkerScript { Decompose = new TaskCompletionSource().Task });
        await server.UploadAsync("tiny");
        var id = await server.StartAsync(Plain);
        (await RegistryServer.RefusedAsync(HttpStatusCode.Conflict, () => server.Api.RemovePipelineAsync(id))).Message.ShouldContain("cancel it first");
        (await server.Api.CancelPipelineAsync(id)).State.ShouldBe(PipelineState.Cancelled);
        await server.Api.RemovePipelineAsync(id);
        await RegistryServer.RefusedAsync(HttpStatusCode.NotFound, () => server.Api.GetPipelineAsync(id));
        (await server.InDatabaseAsync(context => context.Units.CountAsync())).ShouldBe(0);
    }

    [Fact]
    public async Task Looking_for_a_blob_changes_nothing_and_keeping_it_does()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var bytes = "some"u8.ToArray();
        await server.PutAsync(bytes);
        await server.ExpireLeasesAsync();
        await server.Api.CollectAsync(deletedDays: 0, resultDays: 0, graceMinutes: 60);
        (await server.Api.HasBlobAsync(Digest.Of(bytes))).ShouldBeTrue();
        (await server.InDatabaseAsync(context => context.Leases.CountAsync())).ShouldBe(0);
        (await server.Api.TryKeepBlobAsync(Digest.Of(bytes))).ShouldBeTrue();
        (await server.InDatabaseAsync(context => context.Leases.CountAsync())).ShouldBe(1);
        (await server.Api.TryKeepBlobAsync(Digest.Of("other"))).ShouldBeFalse();
    }

    [Theory]
    [InlineData("Content-Length: 17000000", 0)]
    [InlineData("Transfer-Encoding: chunked", (16 << 20) + 1)]
    public async Task A_body_beyond_the_limit_is_413(string length, int bytes)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var address = server.Client.BaseAddress!;
        using var sender = new TcpClient();
        await sender.ConnectAsync(address.Host, address.Port);
        await using var stream = sender.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(
            $"POST /api/models/tiny/versions HTTP/1.1\r\nHost: {address.Authority}\r\nIdempotency-Key: key\r\nContent-Type: application/json\r\n{length}\r\n\r\n"));
        if (bytes > 0)
        {
            await stream.WriteAsync(Encoding.ASCII.GetBytes($"{bytes:x}\r\n"));
            await stream.WriteAsync(new byte[bytes]);
            await stream.WriteAsync("\r\n0\r\n\r\n"u8.ToArray());
        }
        using var reader = new StreamReader(stream);
        (await reader.ReadLineAsync()).ShouldBe("HTTP/1.1 413 Payload Too Large");
    }

    [Theory]
    [InlineData("/api/models/none", HttpStatusCode.NotFound)]
    [InlineData("/api/search?sort=nope", HttpStatusCode.BadRequest)]
    [InlineData("/api/search?metric=kl<=NaN", HttpStatusCode.BadRequest)]
    [InlineData("/api/search?metric=kl<Infinity", HttpStatusCode.BadRequest)]
    [InlineData("/nothing", HttpStatusCode.NotFound)]
    [InlineData("/api/models?limit=abc", HttpStatusCode.BadRequest, "invalid value 'abc' of limit")]
    public async Task Errors_are_json_whatever_the_sender_accepts(string address, HttpStatusCode status, string said = "")
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var request = new HttpRequestMessage(HttpMethod.Get, address);
        request.Headers.Accept.Add(new("application/xml"));
        var answer = await server.Client.SendAsync(request);
        answer.StatusCode.ShouldBe(status);
        answer.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        (await answer.Content.ReadAsStringAsync()).Replace("\\u0027", "'").ShouldContain(said);
    }

    [Fact]
    public async Task Digits_are_a_digest_where_they_are_as_many_as_one_needs()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var (files, manifest) = Enumerable.Range(0, 10_000).Select(seed => RegistryServer.SmallModel(seed)).Select(files => (files, Manifest: Manifest(files)))
            .First(model => model.Manifest.Take(8).All(char.IsAsciiDigit));
        await server.UploadAsync("tiny", files);
        (await server.Api.GetVersionAsync("tiny", manifest[..8])).Version.ShouldBe(1);
        (await server.Api.GetVersionAsync("tiny", "latest")).Version.ShouldBe(1);
        await RegistryServer.RefusedAsync(HttpStatusCode.NotFound, () => server.Api.GetVersionAsync("tiny", "+1"));
        await RegistryServer.RefusedAsync(HttpStatusCode.NotFound, () => server.Api.GetVersionAsync("tiny", "2"));
    }

    [Fact]
    public async Task Aliases_cannot_be_taken_for_versions_or_for_one_another()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await server.UploadAsync("tiny");
        foreach (var alias in new[] { "7", "99999999999999", "v1", "V20", "latest", "Latest" })
            await RegistryServer.RefusedAsync(HttpStatusCode.BadRequest, () => server.Api.SetAliasAsync("tiny", alias, new AliasChange(1)));
        await server.Api.SetAliasAsync("tiny", "best", new AliasChange(1));
        (await RegistryServer.RefusedAsync(HttpStatusCode.Conflict, () => server.Api.SetAliasAsync("tiny", "Best", new AliasChange(1))))
            .Message.ShouldContain("differ by more than case");
        await RegistryServer.RefusedAsync(HttpStatusCode.NotFound, () => server.Api.RemoveAliasAsync("tiny", "BEST"));
    }

    public void Dispose() => _folder.Dispose();

    private static string Manifest(Dictionary<string, byte[]> files) =>
        new ArtifactManifest(files.Select(file => KeyValuePair.Create(file.Key, new ManifestEntry(Digest.Of(file.Value), file.Value.Length)))).Digest.Value;

    private Task<RegistryServer> StartAsync(bool onPostgres, WorkerScript? script = null) => RegistryServer.StartAsync(
        _folder, script, onPostgres ? ["--Database:Provider=postgres", $"--Database:ConnectionString={postgres.MigratedDatabase()}"] : []);
}

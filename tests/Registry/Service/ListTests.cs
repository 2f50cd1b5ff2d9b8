using System.Text.RegularExpressions;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Pipelines.Stages;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>What lists and watchers cost the database.</summary>
public sealed class ListTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("/api/models", 1)]
    [InlineData("/api/models?q=model-1", 1)]
    [InlineData("/api/models/model-03/versions", 3)]
    [InlineData("/api/search", 2)]
    [InlineData("/api/search?sort=-kl&metric=kl<0.9&kind=quantized", 2)]
    [InlineData("/api/pipelines", 1)]
    [InlineData("/api/pipelines?state=running", 1)]
    [InlineData("/", 4)]
    [InlineData("/pipelines", 2)]
    [InlineData("/search", 2)]
    [InlineData("/models/model-03/compare?v=1&v=2&v=3", 3)]
    [InlineData("/models/model-03", 10)]
    public async Task A_page_costs_as_many_queries_whatever_is_in_it(string address, int most)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await FillAsync(server, models: 4, running: 2);
        using var queries = new QueryCount();
        var few = await CountAsync();
        await FillAsync(server, models: 40, running: 30, first: 4);
        var many = await CountAsync();

        many.Count.ShouldBe(few.Count, string.Join("\n", many));
        many.Count.ShouldBeLessThanOrEqualTo(most, string.Join("\n", many));

        async Task<IReadOnlyList<string>> CountAsync()
        {
            // The state of what runs is read at most once in two seconds for all requests: it is there already.
            (await server.Client.GetAsync("/api/pipelines")).EnsureSuccessStatusCode();
            return await queries.OfAsync(async () => (await server.Client.GetAsync(address)).EnsureSuccessStatusCode());
        }
    }

    /// <summary>The first page of a list is read along an index and ends with the page, however many rows there are behind it.</summary>
    [Theory]
    [InlineData("/api/models")]
    [InlineData("/api/models?q=model-1")]
    [InlineData("/api/search")]
    [InlineData("/api/search?sort=created&kind=quantized")]
    [InlineData("/api/search?sort=kl")]
    [InlineData("/api/search?sort=-kl&kind=quantized")]
    [InlineData("/api/search?metric=kl<0.9&metric=bitsPerWeight<=3")]
    public async Task A_first_page_sorts_and_gathers_nothing(string address)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await FillAsync(server, models: 40, running: 2);
        using var queries = new QueryCount();
        (await server.Client.GetAsync("/api/pipelines")).EnsureSuccessStatusCode();
        var commands = await queries.OfAsync(async () => (await server.Client.GetAsync(address)).EnsureSuccessStatusCode());
        await using var connection = new SqliteConnection($"Data Source={_folder.File("registry.db")}");
        await connection.OpenAsync();
        foreach (var sql in commands.Where(sql => sql.Contains("ORDER BY", StringComparison.Ordinal)))
        {
            await using var explain = connection.CreateCommand();
            explain.CommandText = "EXPLAIN QUERY PLAN " + sql;
            foreach (var name in Regex.Matches(sql, @"@\w+").Select(match => match.Value).Distinct())
                explain.Parameters.AddWithValue(name, 1);
            var plan = new List<string>();
            await using var row = await explain.ExecuteReaderAsync();
            while (await row.ReadAsync())
                plan.Add(row.GetString(3));
            plan.ShouldNotContain(step => step.Contains("TEMP B-TREE FOR ORDER BY") || step.Contains("MATERIALIZE") || step.Contains("AUTOMATIC"), string.Join("\n", [sql, .. plan]));
        }
    }

    [Fact]
    public async Task Lists_say_the_same_as_single_views()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await FillAsync(server, models: 5, running: 3);
        await server.Api.SetTagAsync("model-02", "1", "team", new TagValue("red"));
        await server.Api.SetAliasAsync("model-02", "best", new AliasChange(2));
        foreach (var model in (await server.Api.ListModelsAsync()).Items)
            Json(await server.Api.GetModelAsync(model.Name)).ShouldBe(Json(model));
        foreach (var version in (await server.Api.SearchAsync(new SearchQuery(Limit: 100))).Items)
            Json((await server.Api.GetVersionAsync(version.Model, $"{version.Version}")) with { Files = null }).ShouldBe(Json(version));
        var pipelines = (await server.Api.ListPipelinesAsync()).Items;
        pipelines.Select(pipeline => pipeline.Id).ShouldBe(pipelines.Select(pipeline => pipeline.Id).OrderDescending());
        foreach (var pipeline in pipelines)
            Json(await server.Api.GetPipelineAsync(pipeline.Id)).ShouldBe(Json(pipeline));
        var found = await server.Api.SearchAsync(new SearchQuery(Sort: "-kl"));
        found.Items.Select(version => version.Metrics["kl"]).ShouldBeInOrder(SortDirection.Descending);
        (await server.Api.GetVersionAsync("model-02", "1")).Tags["team"].ShouldBe("red");
        (await server.Api.ListModelsAsync(after: "model-01", limit: 1)).Items.Single().Aliases["best"].ShouldBe(2);
    }

    [Fact]
    public async Task A_hundred_watchers_cost_one_query_in_two_seconds_and_all_see_the_end()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var ids = await FillAsync(server, models: 5, running: 5);
        var clock = new AwaitedClock(DateTimeOffset.UtcNow);
        var board = new PipelineBoard(server.Services.GetRequiredService<IServiceScopeFactory>(), clock);
        using var queries = new QueryCount();
        var first = (await server.Api.ListPipelinesAsync()).Items.ToDictionary(pipeline => pipeline.Id);
        var seen = 0;
        var watchers = new List<Task<List<PipelineView>>>();
        var commands = await queries.OfAsync(async () =>
        {
            for (var watcher = 0; watcher < 100; watcher++)
                watchers.Add(CollectAsync(board.WatchAsync(first[ids[watcher % 5]], CancellationToken.None)));
            for (var look = 0; look < 6; look++)
            {
                var before = await SnapshotAsync(board, clock, look);
                before.Pipelines.Count.ShouldBe(look < 4 ? 5 : before.Pipelines.Count);
                // As long as somebody watches, the next state is waited for: from this moment on, and not from one that the clock has left meanwhile.
                if (look < 4)
                    await clock.AwaitedAsync();
                if (look == 3)
                    await EndAsync(server, ids);
                clock.Advance(TimeSpan.FromSeconds(1.9));
                (await board.CurrentAsync(CancellationToken.None)).ShouldBeSameAs(before, "it is not two seconds old");
                clock.Advance(TimeSpan.FromSeconds(0.2));
            }
            await Task.WhenAll(watchers);
        });
        foreach (var watcher in watchers)
        {
            var states = await watcher;
            states.Select(state => state.State).ShouldBe([PipelineState.Running, PipelineState.Succeeded], "what did not change is not told again");
        }
        seen.ShouldBe(200);
        commands.Count(command => command.Contains("\"pipelines\"")).ShouldBeLessThanOrEqualTo(7 + 1, string.Join("\n", commands));

        async Task<List<PipelineView>> CollectAsync(IAsyncEnumerable<PipelineView> states)
        {
            var all = new List<PipelineView>();
            await foreach (var state in states)
            {
                Interlocked.Increment(ref seen);
                all.Add(state);
            }
            return all;
        }
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/pipelines")]
    public async Task Pages_that_are_brought_up_to_date_are_made_once_for_all_browsers(string address)
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        await FillAsync(server, models: 3, running: 2);
        using var queries = new QueryCount();
        Task<IReadOnlyList<string>> ReadAsync(string? reason) => queries.OfAsync(async () =>
        {
            var request = new HttpRequestMessage(HttpMethod.Get, address);
            if (reason is not null)
                request.Headers.Add("X-Refresh", reason);
            var answer = await server.Client.SendAsync(request);
            (await answer.EnsureSuccessStatusCode().Content.ReadAsStringAsync()).ShouldContain("model-01");
        });
        (await ReadAsync("time")).Count.ShouldBeGreaterThan(0);
        (await ReadAsync("time")).ShouldBeEmpty();
        (await ReadAsync("running decompose 1 4")).Count.ShouldBeGreaterThan(0, "something else has happened");
        (await ReadAsync(null)).Count.ShouldBeGreaterThan(0, "whoever opens the page sees it as it is");
    }

    [Fact]
    public async Task The_place_in_the_queue_is_what_others_were_sent_before()
    {
        await using var server = await RegistryServer.StartAsync(_folder);
        var ids = await FillAsync(server, models: 3, running: 3);
        await server.InDatabaseAsync(async context =>
        {
            for (var k = 0; k < 3; k++)
            {
                var started = DateTimeOffset.UtcNow.AddMinutes(k - 10);
                var (done, issued) = k == 0 ? (6, 26) : (0, 1);
                await context.Pipelines.Where(pipeline => pipeline.Id == ids[k]).ExecuteUpdateAsync(rows => rows
                    .SetProperty(row => row.KindStartedAt, started).SetProperty(row => row.Done, done).SetProperty(row => row.Issued, issued));
            }
            return 0;
        });
        var shown = (await server.Api.ListPipelinesAsync()).Items.ToDictionary(pipeline => pipeline.Id, pipeline => pipeline.Ahead);
        shown[ids[0]].ShouldBeNull("it has begun");
        shown[ids[1]].ShouldBe(20);
        shown[ids[2]].ShouldBe(21);
        (await server.Client.GetStringAsync($"/pipelines/{ids[1]}")).ShouldContain("queued behind up to 20 units of other pipelines");
    }

    public void Dispose() => _folder.Dispose();

    private static string Json<T>(T view) => System.Text.Json.JsonSerializer.Serialize(view, Wire.Json);

    /// <summary>Waits for the state that the watchers get, which is read behind their backs.</summary>
    private static async Task<PipelineSnapshot> SnapshotAsync(PipelineBoard board, FakeTimeProvider clock, int look)
    {
        var snapshot = await board.CurrentAsync(CancellationToken.None);
        (clock.GetUtcNow() - snapshot.Time).ShouldBeLessThan(TimeSpan.FromSeconds(2), $"look {look}");
        return snapshot;
    }

    /// <summary>A clock that says when somebody has begun to wait for a time.</summary>
    private sealed class AwaitedClock(DateTimeOffset now) : FakeTimeProvider(now)
    {
        private readonly SemaphoreSlim _timers = new(0);

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = base.CreateTimer(callback, state, dueTime, period);
            _timers.Release();
            return timer;
        }

        /// <summary>Returns once for every timer.</summary>
        public async Task AwaitedAsync() => (await _timers.WaitAsync(TimeSpan.FromMinutes(1))).ShouldBeTrue("nobody waits for the next state");
    }

    private static Task EndAsync(RegistryServer server, IReadOnlyCollection<Guid> ids) => server.InDatabaseAsync(context => context.Pipelines
        .Where(pipeline => ids.Contains(pipeline.Id)).ExecuteUpdateAsync(rows => rows.SetProperty(row => row.Status, PipelineStatus.Succeeded)));

    /// <summary>Models of three versions with metrics and a champion, and running pipelines of the first of them; the latter's ids.</summary>
    private static Task<List<Guid>> FillAsync(RegistryServer server, int models, int running, int first = 0) => server.InDatabaseAsync(async context =>
    {
        var now = DateTimeOffset.UtcNow;
        var ids = new List<Guid>();
        for (var k = first; k < first + models; k++)
        {
            var model = new Model { Id = Guid.CreateVersion7(), Name = $"model-{k:00}", CreatedAt = now, LastVersion = 3 };
            context.Models.Add(model);
            ModelVersion? source = null;
            for (var number = 1; number <= 3; number++)
            {
                var version = new ModelVersion
                {
                    Id = Guid.CreateVersion7(),
                    ModelId = model.Id,
                    Number = number,
                    Manifest = Contracts.Digest.Of($"{k} {number}").Value,
                    Kind = number == 1 ? VersionKind.Upload : VersionKind.Quantized,
                    Bytes = 1000,
                    CreatedAt = now.AddSeconds(k),
                };
                context.Versions.Add(version);
                source ??= version;
                if (number == 1)
                    continue;
                version.SetMetric("kl", 0.1 * number + 0.001 * k);
                version.SetMetric("bitsPerWeight", 5 - number);
                context.Lineages.Add(new VersionLineage
                {
                    VersionId = version.Id,
                    ParentId = source.Id,
                    Recipe = Contracts.Digest.Of("recipe").Value,
                    RecipeJson = "{}",
                    RecipeName = "mine",
                    ToolVersion = "1",
                });
                if (number == 3)
                    context.Aliases.Add(new Alias { ModelId = model.Id, Name = Alias.Champion, VersionId = version.Id, UpdatedAt = now });
            }
            if (k - first >= running)
                continue;
            ids.Add(Guid.CreateVersion7());
            context.Pipelines.Add(new Pipeline
            {
                Id = ids[^1],
                ModelId = model.Id,
                ModelName = model.Name,
                SourceId = source!.Id,
                Model = source.Manifest,
                Recipe = Contracts.Digest.Of($"recipe {k}").Value,
                RecipeJson = """{"decomposition":{}}""",
                Route = new PipelineRoute(false, false, false),
                Kind = DecomposeStage.Kind,
                Status = PipelineStatus.Running,
                Issued = 1,
                CreatedAt = now,
                StartedAt = now,
                KindStartedAt = now,
                ActiveAt = now,
            });
        }
        await context.SaveChangesAsync();
        return ids;
    });
}

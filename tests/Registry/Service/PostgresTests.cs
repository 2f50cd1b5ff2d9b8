using System.Data.Common;
using System.Net;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Npgsql;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Pipelines.Stages;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>What differs between the databases, on PostgreSQL: locks, duplicates, times, ids in order, and a server that goes away.</summary>
public sealed class PostgresTests(PostgresServer postgres) : IClassFixture<PostgresServer>, IDisposable
{
    private const string Plain = """{"decomposition":{"bases":3}}""";
    private const string Distilled = """{"decomposition":{"bases":2,"importance":"full"},"distillation":{"steps":30}}""";

    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_distilled_pipeline_ends_and_doubled_messages_act_once()
    {
        await using var server = await StartAsync(new WorkerScript { Copies = 3, Layers = 7 });
        await server.UploadAsync("tiny");
        var end = await server.EndOfAsync(await server.StartAsync(Distilled));
        end.Error.ShouldBeNull();
        end.Result!.Version.ShouldBe(2);
        server.Workers.Count<DecomposeLayers>().ShouldBe(7);
        (await server.Api.GetVersionAsync("tiny", "champion")).Version.ShouldBe(2);
        await RegistryServer.UntilAsync(() => server.InDatabaseAsync(async context => !await context.Outbox.AnyAsync()));
    }

    [Fact]
    public async Task Of_many_that_are_asked_at_once_one_runs_and_all_get_its_result()
    {
        var hold = new TaskCompletionSource();
        await using var server = await StartAsync(new WorkerScript { Decompose = hold.Task });
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => server.UploadAsync("tiny")));
        var ids = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => server.StartAsync(Plain)));
        hold.SetResult();
        foreach (var id in ids)
            (await server.EndOfAsync(id)).Result!.Version.ShouldBe(2);
        server.Workers.Count<DecomposeLayers>().ShouldBe(4);
        (await server.InDatabaseAsync(context => context.Versions.CountAsync())).ShouldBe(2);
    }

    [Fact]
    public async Task A_database_that_crashes_in_between_loses_nothing()
    {
        await using var server = await StartAsync(new WorkerScript { Layers = 60 });
        await server.UploadAsync("tiny");
        var id = await server.StartAsync(Distilled);
        for (var crash = 0; crash < 3; crash++)
        {
            await Task.Delay(400);
            await postgres.CrashAsync();
            await Task.Delay(300);
            await postgres.StartAsync();
        }
        (await server.EndOfAsync(id)).State.ShouldBe(PipelineState.Succeeded);
        var units = await server.InDatabaseAsync(context => context.Units.Where(unit => unit.Kind == DecomposeStage.Kind).ToListAsync());
        units.Count.ShouldBe(60);
        units.ShouldAllBe(unit => unit.Status == UnitStatus.Done);
    }

    [Fact]
    public async Task A_connection_lost_between_two_commands_undoes_the_whole_transaction()
    {
        var connection = postgres.NewDatabase();
        await using (var first = ContextOf(connection))
            await first.MigrateAsync(TimeSpan.FromMinutes(1), TestContext.Current.CancellationToken);
        var lost = 0;
        for (var isOver = false; !isOver; lost++)
        {
            var cutter = new ConnectionCutter(connection, lost);
            await using var context = ContextOf(connection, cutter);
            var name = $"m{lost}";
            var failed = false;
            try
            {
                await context.ChangeAsync(async () =>
                {
                    context.Models.Add(Named(name));
                    await context.SaveChangesAsync();
                    await context.Models.CountAsync();
                    context.Models.Add(Named(name + "b"));
                    await context.SaveChangesAsync();
                    await context.Models.Where(model => model.Name == name).ExecuteUpdateAsync(set => set.SetProperty(model => model.Description, "changed"));
                    context.Models.Add(Named(name + "c"));
                    return 0;
                }, [], TestContext.Current.CancellationToken);
            }
            catch (Exception error) when (Transience.IsTransient(error))
            {
                failed = true;
            }
            isOver = !cutter.HasCut;
            failed.ShouldBe(cutter.HasCut);
            await using var after = ContextOf(connection);
            (await after.Models.CountAsync(model => model.Name.StartsWith(name))).ShouldBe(failed ? 0 : 3, $"the connection was lost after {lost + 1} commands");
        }
        lost.ShouldBe(6, "five commands, and a run without a loss");

        static Model Named(string name) => new() { Id = Guid.CreateVersion7(), Name = name, CreatedAt = DateTimeOffset.UnixEpoch };
    }

    /// <summary>They are not saved by Entity Framework: a column that is left out would go unnoticed.</summary>
    [Fact]
    public async Task New_units_and_messages_are_saved_whole_and_in_their_order()
    {
        var connection = postgres.NewDatabase();
        var pipeline = new Pipeline
        {
            Id = Guid.CreateVersion7(),
            ModelId = Guid.NewGuid(),
            ModelName = "tiny",
            SourceId = Guid.NewGuid(),
            Model = "model",
            Recipe = "recipe",
            RecipeJson = Plain,
            Route = new PipelineRoute(Calibrated: false, Distils: false, SamplesWindows: false),
            Kind = DecomposeStage.Kind,
            CreatedAt = DateTimeOffset.UnixEpoch,
        };
        PipelineUnit[] units =
        [
            .. Enumerable.Range(0, 50).Select(index => new PipelineUnit { PipelineId = pipeline.Id, Kind = DecomposeStage.Kind, Index = index, Key = $"key {index}", Command = "{}" }),
            new PipelineUnit { PipelineId = pipeline.Id, Kind = AssembleStage.Kind, Index = 0, Status = UnitStatus.Waiting, Attempt = 3, Failures = 2 },
        ];
        OutboxMessage[] messages =
        [
            .. Enumerable.Range(0, 50).Select(index => new OutboxMessage
            {
                MessageId = Guid.NewGuid(), Type = "Type", Body = $"{index}", PipelineId = pipeline.Id, Queue = WorkQueues.Quantizer, TraceParent = "trace",
            }),
            new OutboxMessage { MessageId = Guid.NewGuid(), Type = "Other", Body = "published" },
        ];
        await using (var context = ContextOf(connection))
        {
            await context.MigrateAsync(TimeSpan.FromMinutes(1), TestContext.Current.CancellationToken);
            context.Pipelines.Add(pipeline);
            await context.SaveAsync(units, messages, TestContext.Current.CancellationToken);
        }
        await using var after = ContextOf(connection);
        (await after.Units.AsNoTracking().ToListAsync()).ShouldBe(units, ignoreOrder: true);
        var saved = await after.Outbox.AsNoTracking().OrderBy(message => message.Id).ToListAsync();
        saved.Select(message => (message.MessageId, message.Type, message.Body, message.PipelineId, message.Queue, message.TraceParent, message.Error)).ShouldBe(
            messages.Select(message => (message.MessageId, message.Type, message.Body, message.PipelineId, message.Queue, message.TraceParent, message.Error)));
    }

    [Fact]
    public async Task Pages_searches_and_collections_work_as_on_sqlite()
    {
        await using var server = await StartAsync(new WorkerScript());
        foreach (var (name, kl) in new[] { ("b", 0.3), ("a", 0.1), ("c", 0.2) })
        {
            await server.UploadAsync(name);
            await server.Api.SetMetricsAsync(name, "1", new() { ["kl"] = kl });
        }
        Guid[] ids = [await server.StartAsync(Plain, "a"), await server.StartAsync(Distilled, "a")];
        foreach (var id in ids)
            await server.EndOfAsync(id);
        (await server.Api.ListModelsAsync(after: "a", limit: 2)).Items.Select(model => model.Name).ShouldBe(["b", "c"]);
        var found = await server.Api.SearchAsync(new(Metric: ["kl<=0.2"], Sort: "-kl", Kind: VersionKind.Upload));
        found.Items.Select(version => version.Model).ShouldBe(["c", "a"]);
        (await server.Api.ListPipelinesAsync(limit: 1)).Items.Select(pipeline => pipeline.Id).ShouldBe([ids[1]]);
        (await server.Api.ListPipelinesAsync(after: ids[1])).Items.Select(pipeline => pipeline.Id).ShouldBe([ids[0]]);
        await server.Api.DeleteModelAsync("c");
        (await server.CollectAsync()).Versions.ShouldBe(1);
        (await server.Client.GetAsync("/models/a")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    public void Dispose() => _folder.Dispose();

    private Task<RegistryServer> StartAsync(WorkerScript script, params string[] settings) => RegistryServer.StartAsync(
        _folder, script, ["--Database:Provider=postgres", $"--Database:ConnectionString={postgres.MigratedDatabase()}", .. settings]);

    private static PostgresRegistryContext ContextOf(string connection, params IInterceptor[] interceptors) =>
        new(new DbContextOptionsBuilder<PostgresRegistryContext>().UseNpgsql(connection).AddInterceptors(interceptors).Options);

    /// <summary>Ends the server's side of a connection when some commands have been answered, as a failover does.</summary>
    private sealed class ConnectionCutter(string connection, int after) : DbCommandInterceptor
    {
        private int _commands;

        public bool HasCut { get; private set; }

        public override async ValueTask<InterceptionResult> DataReaderClosingAsync(DbCommand command, DataReaderClosingEventData eventData, InterceptionResult result)
        {
            await AnsweredAsync(command);
            return result;
        }

        public override async ValueTask<int> NonQueryExecutedAsync(DbCommand command, CommandExecutedEventData eventData, int result, CancellationToken cancellationToken = default)
        {
            await AnsweredAsync(command);
            return result;
        }

        private async Task AnsweredAsync(DbCommand command)
        {
            if (_commands++ != after)
                return;
            HasCut = true;
            await using var other = new NpgsqlConnection(connection);
            await other.OpenAsync();
            await using var end = new NpgsqlCommand("SELECT pg_terminate_backend($1, 10000)", other) { Parameters = { new() { Value = ((NpgsqlConnection)command.Connection!).ProcessID } } };
            (await end.ExecuteScalarAsync()).ShouldBe(true);
        }
    }
}

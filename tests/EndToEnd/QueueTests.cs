using System.Diagnostics;
using Npgsql;
using Qbb.Artifacts;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace Qbb.EndToEnd.Tests;

/// <summary>The queues of this machine's RabbitMQ.</summary>
public sealed class QueueTests(RabbitServer broker, PostgresServer database) : BrokerQueueTests(broker, database);

/// <summary>The queues of RabbitMQ 4.</summary>
public sealed class RabbitMq4Tests(RabbitServer4 broker, PostgresServer database) : BrokerQueueTests(broker, database), IClassFixture<RabbitServer4>;

/// <summary>The queues of a real broker: they are there before anybody sends, in one type, and keep what they got.</summary>
public abstract class BrokerQueueTests(RabbitServer broker, PostgresServer database)
{
    // By RabbitMQ 4, unless it is told otherwise.
    private const int DroppedAfter = 20;
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task A_command_waits_in_its_queue_for_the_first_worker_and_is_sent_once()
    {
        broker.Require();
        var data = database.MigratedDatabase();
        using var cluster = new Cluster(broker, data);
        await cluster.HostAsync("qbb-registry");
        using var registry = new RegistryCalls(cluster.Url);
        var version = await registry.UploadAsync("tiny", TinyRecipes.Model);
        var pipeline = await registry.StartAsync("tiny", version, TinyRecipes.Plain());
        await using var connection = await ConnectAsync();
        await using var channel = await connection.CreateChannelAsync();
        var watch = Stopwatch.StartNew();
        while (await WaitingAsync() == 0 || await OutboxAsync(data) > 0)
        {
            watch.Elapsed.ShouldBeLessThan(s_patience, cluster.Logs());
            await Task.Delay(50);
        }

        // What waits in a queue is not sent again by a registry that starts anew.
        await cluster.HostAgainAsync("qbb-registry");
        await Task.Delay(2000);
        (await WaitingAsync()).ShouldBe(1u);

        // A queue that somebody deletes is declared again by whoever sends to it.
        await channel.QueueDeleteAsync($"{cluster.Prefix}-{WorkQueues.Evaluator}");
        await channel.QueueDeleteAsync($"{cluster.Prefix}-{WorkQueues.Synthdata}");
        var script = new WorkerScript();
        var workers = await TestBus.WorkersAsync(
            broker, cluster.Prefix, new ScriptedWorker(script, new LocalArtifactStore(cluster.Store)), WorkQueues.Synthdata, WorkQueues.Quantizer);
        watch.Restart();
        while (await channel.MessageCountAsync($"{cluster.Prefix}-{WorkQueues.Quantizer}") > 0 || script.Count<SampleSequences>() == 0)
        {
            watch.Elapsed.ShouldBeLessThan(s_patience, cluster.Logs());
            await Task.Delay(50);
        }
        var evaluators = await TestBus.WorkersAsync(broker, cluster.Prefix, new ScriptedWorker(script, new LocalArtifactStore(cluster.Store)), WorkQueues.Evaluator);
        var ended = await registry.EndAsync(pipeline, s_patience, cluster.Logs);
        ended.State.ShouldBe(PipelineState.Succeeded, $"{ended}");
        script.Commands.OfType<IUnitCommand>().Select(command => command.Unit).ShouldBeUnique();
        await workers.StopAsync();
        await evaluators.StopAsync();

        Task<uint> WaitingAsync() => channel.MessageCountAsync($"{cluster.Prefix}-{WorkQueues.Quantizer}");
    }

    private static async Task<long> OutboxAsync(string database)
    {
        await using var connection = new NpgsqlConnection(database);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand("SELECT count(*) FROM outbox", connection);
        return (long)(await command.ExecuteScalarAsync())!;
    }

    [Fact]
    public async Task Quorum_queues_do_the_same_and_another_type_is_refused_at_the_start()
    {
        broker.Require();
        var data = database.MigratedDatabase();
        using var cluster = new Cluster(broker, data, "Bus:QueueType=quorum");
        await cluster.HostAsync(["qbb-registry", .. Cluster.Workers]);
        using var registry = new RegistryCalls(cluster.Url);
        var version = await registry.UploadAsync("tiny", TinyRecipes.Model);
        var ended = await registry.EndAsync(await registry.StartAsync("tiny", version, TinyRecipes.Plain()), s_patience, cluster.Logs);
        ended.State.ShouldBe(PipelineState.Succeeded, $"{ended}");
        await using (var connection = await ConnectAsync())
        {
            foreach (var queue in WorkQueues.All.Append("registry").SelectMany(queue => new[] { queue, queue + "_error" }))
            {
                await using var channel = await connection.CreateChannelAsync();
                // The broker refuses a type or a limit that is not the queue's.
                await channel.QueueDeclareAsync($"{cluster.Prefix}-{queue}", durable: true, exclusive: false, autoDelete: false, Quorum());
            }
        }

        using var other = new ServiceProcess("qbb-quantizer", FreePort.Next(), cluster.SettingsOf("qbb-quantizer").Append("Bus:QueueType=classic"));
        (await other.ExitAsync()).ShouldBe(1);
        other.Log.ShouldContain($"refuses to declare {cluster.Prefix}-quantizer: ");
        other.Log.ShouldContain($"Set Bus:QueueType to the type of the queues that are there, or delete them when they are empty: rabbitmqctl delete_queue {cluster.Prefix}-quantizer");
    }

    /// <summary>As every outage and every worker that is killed in mid-unit hands them back.</summary>
    [Fact]
    public async Task A_command_that_a_quorum_queue_gets_back_over_and_over_stays()
    {
        broker.Require();
        using var cluster = new Cluster(broker, database.MigratedDatabase(), "Bus:QueueType=quorum");
        await cluster.HostAsync("qbb-registry");
        using var registry = new RegistryCalls(cluster.Url);
        await registry.StartAsync("tiny", await registry.UploadAsync("tiny", TinyRecipes.Model), TinyRecipes.Plain());
        await using var connection = await ConnectAsync();
        for (var time = 0; time < DroppedAfter + 5; time++)
        {
            var delivered = new TaskCompletionSource<ulong>(TaskCreationOptions.RunContinuationsAsynchronously);
            await using var channel = await connection.CreateChannelAsync();
            var consumer = new AsyncEventingBasicConsumer(channel);
            consumer.ReceivedAsync += (_, message) =>
            {
                delivered.TrySetResult(message.DeliveryTag);
                return Task.CompletedTask;
            };
            await channel.BasicConsumeAsync($"{cluster.Prefix}-{WorkQueues.Quantizer}", autoAck: false, consumer);
            await channel.BasicNackAsync(await delivered.Task.WaitAsync(s_patience), multiple: false, requeue: true);
        }
        await cluster.HostAsync(Cluster.Workers);
        (await registry.EndAsync((await registry.Api.ListPipelinesAsync()).Items.Single().Id, s_patience, cluster.Logs)).State.ShouldBe(PipelineState.Succeeded);
    }

    private Task<IConnection> ConnectAsync() => new ConnectionFactory { HostName = "127.0.0.1", Port = broker.Port }.CreateConnectionAsync();

    private static Dictionary<string, object?> Quorum() => new() { ["x-queue-type"] = "quorum", ["x-delivery-limit"] = 1_000_000_000 };
}

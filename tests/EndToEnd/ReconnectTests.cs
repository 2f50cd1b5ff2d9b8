using System.Collections.Concurrent;
using System.Diagnostics;
using MassTransit;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Hosting;
using Qbb.Hosting.Bus;
using Qbb.Tests;
using RabbitMQ.Client;

namespace Qbb.EndToEnd.Tests;

/// <summary>What becomes of a service's consumers when its connection to the broker is cut.</summary>
public sealed class ReconnectTests(RabbitServer broker, ITestOutputHelper output)
{
    private const int Cuts = 3;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    /// <summary>While they have something in hand: a computation that does not heed its cancellation, or an event that they publish.</summary>
    [Fact]
    public async Task Every_queue_is_consumed_again_soon_after_a_cut()
    {
        broker.Require();
        using var proxy = new FaultProxy(broker.Port);
        using var folder = new TemporaryFolder();
        var prefix = "r" + Guid.NewGuid().ToString("N")[..8];
        var script = new Script();
        await using var service = ServiceHost.Build(
            [
                "--Bus:Transport=RabbitMq", "--Bus:Host=127.0.0.1", $"--Bus:Port={proxy.Port}", $"--Bus:Prefix={prefix}", $"--Artifacts:Folder={folder.Path}",
                "--Bus:FinishSeconds=0",
            ],
            "service", "http://127.0.0.1:0", builder =>
            {
                builder.Logging.ClearProviders();
                builder.Services.AddSingleton(script);
                AddQueue<First>(builder);
                AddQueue<Second>(builder);
                AddQueue<Third>(builder);
                AddQueue<Fourth>(builder);
            });
        await ServiceHost.StartAsync(service);
        await using var connection = await new ConnectionFactory { HostName = "127.0.0.1", Port = broker.Port }.CreateConnectionAsync();
        await using var channel = await connection.CreateChannelAsync();
        string[] queues = [nameof(First), nameof(Second), nameof(Third), nameof(Fourth)];
        for (var cut = 1; cut <= Cuts; cut++)
        {
            script.Hold();
            var sender = service.Services.GetRequiredService<QueueSender>();
            foreach (var queue in queues)
                await sender.SendAsync(queue, new Work(cut), typeof(Work), Guid.NewGuid(), CancellationToken.None).WaitAsync(s_patience);
            await UntilAsync(() => Task.FromResult(queues.All(queue => script.Begun.Contains((queue, cut)))), "work has begun");
            script.Begun.Clear();

            proxy.Outage = Outage.Away;
            proxy.Outage = Outage.None;

            var watch = Stopwatch.StartNew();
            await UntilAsync(
                async () => (await Task.WhenAll(queues.Select(queue => channel.ConsumerCountAsync($"{prefix}-{queue}")))).All(count => count == 1),
                $"all queues have a consumer after cut {cut}");
            output.WriteLine($"cut {cut}: consumed again after {watch.Elapsed.TotalSeconds:0.0} s");
            // They were not acknowledged, so they are delivered once more.
            await UntilAsync(() => Task.FromResult(queues.All(queue => script.Begun.Contains((queue, cut)))), "the work is delivered again");
            script.Release();
        }
        var health = await service.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync();
        health.Status.ShouldBe(HealthStatus.Healthy, string.Join("; ", health.Entries.Select(entry => $"{entry.Key}: {entry.Value.Description}")));
        await service.StopAsync();
    }

    private static void AddQueue<T>(WebApplicationBuilder builder)
    {
        var queue = typeof(T).Name;
        builder.AddQueues(queue).AddConsumers(queue, (bus, options) => bus.AddConsumer<Worker<T>>().Endpoint(endpoint =>
        {
            endpoint.Name = options.QueueOf(queue);
            endpoint.PrefetchCount = 1;
        }));
    }

    private static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        for (var watch = Stopwatch.StartNew(); !await condition(); await Task.Delay(50))
            watch.Elapsed.ShouldBeLessThan(s_patience, what);
    }

    public sealed record Work(int Cut);

    public sealed record Worked(int Cut);

    private sealed class First;

    private sealed class Second;

    private sealed class Third;

    private sealed class Fourth;

    private sealed class Script
    {
        private TaskCompletionSource _release = new();

        public ConcurrentBag<(string Queue, int Cut)> Begun { get; } = [];

        public Task Released => _release.Task;

        public void Hold() => _release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Release() => _release.TrySetResult();
    }

    private sealed class Worker<T>(Script script) : IConsumer<Work>
    {
        public async Task Consume(ConsumeContext<Work> context)
        {
            var released = script.Released;
            script.Begun.Add((typeof(T).Name, context.Message.Cut));
            // One publishes while the connection is away, which waits for it.
            while (typeof(T) == typeof(Second) && !released.IsCompleted)
            {
                await context.Publish(new Worked(context.Message.Cut));
                await Task.Delay(10);
            }
            await released;
        }
    }
}

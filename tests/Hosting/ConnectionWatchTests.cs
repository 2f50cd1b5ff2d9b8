using System.Reflection;
using MassTransit;
using MassTransit.RabbitMqTransport;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Qbb.Hosting.Bus;
using RabbitMQ.Client;

namespace Qbb.Hosting.Tests;

/// <summary>An endpoint that holds a closed connection ends its process, and no other does.</summary>
public class ConnectionWatchTests
{
    private readonly FakeTimeProvider _clock = new();
    private readonly ServiceExit _exit = new();
    private readonly Lifetime _lifetime = new();
    private readonly TaskCompletionSource _consuming = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ConnectionWatch _watch;
    private bool _isOpen = true;

    public ConnectionWatchTests() => _watch = new ConnectionWatch(_exit, _lifetime, _clock, NullLogger<ConnectionWatch>.Instance);

    [Fact]
    public async Task Holding_a_closed_connection_ends_the_process()
    {
        var watching = Watch();
        await PassAsync(TimeSpan.FromMinutes(30));
        _lifetime.IsStopping.ShouldBeFalse();

        _isOpen = false;
        await PassAsync(ConnectionWatch.Patience - TimeSpan.FromSeconds(10));
        _lifetime.IsStopping.ShouldBeFalse();
        (await _watch.CheckHealthAsync(new())).Status.ShouldBe(HealthStatus.Healthy);

        await PassAsync(TimeSpan.FromSeconds(20));
        _lifetime.IsStopping.ShouldBeTrue();
        _exit.Code.ShouldBe(ServiceExit.ConnectionLost);
        var health = await _watch.CheckHealthAsync(new());
        health.Status.ShouldBe(HealthStatus.Unhealthy);
        health.Description.ShouldNotBeNull().ShouldContain("has lost its connection to the broker");
        _consuming.SetResult();
        await watching;
    }

    [Fact]
    public async Task Letting_go_of_a_closed_connection_does_not()
    {
        var watching = Watch();
        _isOpen = false;
        await PassAsync(TimeSpan.FromSeconds(30));
        _consuming.SetException(new RabbitMqConnectionException("gone"));
        await Should.ThrowAsync<RabbitMqConnectionException>(watching);
        await PassAsync(TimeSpan.FromMinutes(5));
        _lifetime.IsStopping.ShouldBeFalse();
    }

    private Task Watch()
    {
        var connection = Fake<IConnection>.With(name => name == "get_IsOpen" ? _isOpen : null);
        var broker = Fake<ConnectionContext>.With(name => name == "get_Connection" ? connection : null);
        var channel = Fake<ChannelContext>.With(name => name switch { "get_ConnectionContext" => broker, "TryGetPayload" => false, _ => null });
        return _watch.Send(channel, Pipe.ExecuteAsync<ChannelContext>(_ => _consuming.Task));
    }

    // Whoever waits for the clock must have begun to, so it passes in small steps.
    private async Task PassAsync(TimeSpan time)
    {
        for (var passed = TimeSpan.Zero; passed < time; passed += TimeSpan.FromSeconds(5))
        {
            _clock.Advance(TimeSpan.FromSeconds(5));
            await Task.Delay(1);
        }
    }

    private sealed class Lifetime : IHostApplicationLifetime
    {
        public bool IsStopping { get; private set; }

        public CancellationToken ApplicationStarted => default;

        public CancellationToken ApplicationStopping => default;

        public CancellationToken ApplicationStopped => default;

        public void StopApplication() => IsStopping = true;
    }

    /// <summary>Of an interface, the members that a test gives it.</summary>
    public class Fake<T> : DispatchProxy
        where T : class
    {
        private Func<string, object?> _answer = null!;

        public static T With(Func<string, object?> answer)
        {
            var fake = Create<T, Fake<T>>();
            ((Fake<T>)(object)fake)._answer = answer;
            return fake;
        }

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => _answer(targetMethod!.Name);
    }
}

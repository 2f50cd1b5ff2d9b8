using Microsoft.Extensions.Logging;
using Qbb.Hosting.Startup;

namespace Qbb.Hosting.Tests;

public class DependencyGateTests
{
    private readonly List<string> _said = [];

    [Fact]
    public async Task What_comes_late_is_waited_for()
    {
        var tries = 0;
        await Gate(30, () => ++tries < 3 ? throw new IOException("not yet") : Task.CompletedTask).WaitAsync();
        tries.ShouldBe(3);
        _said.Count.ShouldBe(2);
        _said[0].ShouldMatch("^Waiting for the oracle, [0-9]+ s more: not yet$");
        _said[1].ShouldBe("the oracle is there");
    }

    [Fact]
    public async Task What_never_comes_is_given_up_with_the_reason()
    {
        var error = await Should.ThrowAsync<StartupException>(() => Gate(1, () => throw new IOException("connection refused")).WaitAsync());
        error.Message.ShouldContain("the oracle is away: connection refused");
        error.Message.ShouldContain("Gave up after 1 s (Startup:WaitSeconds)");
        ServiceHost.Explain(error).ShouldBe(error.Message);
    }

    [Fact]
    public async Task A_wait_can_be_cancelled()
    {
        using var cancel = new CancellationTokenSource(200);
        await Should.ThrowAsync<OperationCanceledException>(() => Gate(60, () => throw new IOException("no")).WaitAsync(cancel.Token));
    }

    private DependencyGate Gate(int seconds, Func<Task> probe) => new(
        [new Oracle(probe)], Microsoft.Extensions.Options.Options.Create(new StartupOptions { WaitSeconds = seconds }), new Journal(_said));

    private sealed class Journal(List<string> lines) : ILogger<DependencyGate>
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Add(formatter(state, exception));
    }

    private sealed class Oracle(Func<Task> probe) : IDependency
    {
        public string Name => "the oracle";

        public Task ProbeAsync(CancellationToken cancellation) => probe();
    }
}

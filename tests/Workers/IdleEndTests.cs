using Microsoft.Extensions.Options;
using Qbb.Tests;
using Qbb.Workers.Units;

namespace Qbb.Workers.Tests;

/// <summary>A worker of a Job ends by itself, with a code that says how it went.</summary>
public sealed class IdleEndTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task It_ends_with_0_when_it_had_no_unit_for_so_long_and_not_while_one_runs()
    {
        var (begun, go) = (new TaskCompletionSource(), new TaskCompletionSource());
        WorkerHost worker = null!;
        var script = new UnitScript
        {
            Work = async (_, _, _) =>
            {
                begun.SetResult();
                await go.Task;
                return await worker.StoreAsync("the result");
            },
        };
        await using var host = worker = await StartAsync(script);
        await worker.SendAsync(Command());
        await begun.Task;
        for (var k = 0; k < 4; k++)
            await worker.PassAsync(TimeSpan.FromSeconds(20));
        worker.Ended.ShouldBeNull("a unit runs");
        go.SetResult();
        await worker.HearAsync<SequencesFiltered>();
        await UntilEndedAsync(worker);
        worker.Ended.ShouldBe(WorkerExit.Idle);
    }

    [Fact]
    public async Task What_its_start_takes_does_not_count()
    {
        await using var worker = await StartAsync(new UnitScript { Work = (_, _, _) => throw new InvalidOperationException() }, TimeSpan.FromMinutes(2));
        await worker.PassAsync(TimeSpan.FromSeconds(20));
        await worker.PassAsync(TimeSpan.Zero);
        worker.Ended.ShouldBeNull("units could come for 20 s only");
        await UntilEndedAsync(worker);
        worker.Ended.ShouldBe(WorkerExit.Idle);
    }

    [Fact]
    public async Task It_ends_with_10_where_a_unit_had_invalid_input()
    {
        await using var worker = await StartAsync(new UnitScript { Work = (_, _, _) => throw new InvalidInputException("the model has no layer") });
        await worker.SendAsync(Command());
        await worker.HearAsync<UnitFailed>();
        await UntilEndedAsync(worker);
        worker.Ended.ShouldBe(WorkerExit.Input);
    }

    [Fact]
    public async Task It_ends_with_20_at_once_where_its_machine_is_at_fault()
    {
        await using var worker = await StartAsync(new UnitScript { Work = (_, _, _) => throw new IOException("disk full", 28) });
        await worker.SendAsync(Command());
        await worker.HearAsync<UnitFailed>();
        // Long before it would be idle.
        await worker.PassAsync(TimeSpan.FromSeconds(1));
        await worker.WaitAsync(() => worker.Ended is not null, "its end");
        worker.Ended.ShouldBe(WorkerExit.Machine);
    }

    [Fact]
    public async Task Without_the_option_it_waits_for_ever()
    {
        await using var worker = await WorkerHost.StartAsync(_folder, new UnitScript { Work = (_, _, _) => throw new InvalidOperationException() });
        for (var k = 0; k < 4; k++)
            await worker.PassAsync(TimeSpan.FromHours(1));
        worker.Ended.ShouldBeNull();
    }

    [Theory]
    [InlineData("30s", 30)]
    [InlineData("5m", 300)]
    public void A_limit_is_seconds_or_minutes(string text, int seconds) =>
        new WorkerOptions { UntilIdle = text }.IdleLimit.ShouldBe(TimeSpan.FromSeconds(seconds));

    [Fact]
    public async Task Another_limit_is_refused() => (await Should.ThrowAsync<OptionsValidationException>(
        () => WorkerHost.StartAsync(_folder, new UnitScript { Work = (_, _, _) => throw new InvalidOperationException() }, "--until-idle", "soon")))
        .Message.ShouldContain("Worker:UntilIdle is soon: give seconds or minutes, such as 30s or 5m");

    private Task<WorkerHost> StartAsync(UnitScript script, TimeSpan start = default) => WorkerHost.StartAsync(_folder, script, start, "--stage", "filter", "--until-idle", "30s");

    private static FilterSequences Command() => new(Guid.NewGuid(), Digest.Of("model"), Digest.Of("student"), Digest.Of("filter"), Digest.Of("data"), [], Epoch: 1);

    private static Task UntilEndedAsync(WorkerHost worker) => worker.WaitAsync(() =>
    {
        worker.Advance(TimeSpan.FromSeconds(5));
        return worker.Ended is not null;
    }, "its end");
}

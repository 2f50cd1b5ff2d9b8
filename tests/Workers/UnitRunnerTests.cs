using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Net;
using System.Text.Json.Nodes;
using MassTransit;
using Qbb.Artifacts;
using Qbb.Models;
using Qbb.Tests;
using Qbb.Workers.Units;

namespace Qbb.Workers.Tests;

/// <summary>What surrounds every unit: results that are there already, failures, tries, cancellation, one at a time, a stop in between.</summary>
public sealed class UnitRunnerTests : IDisposable
{
    private static readonly Digest s_part = Digest.Of("part");
    private readonly TemporaryFolder _folder = new();
    private WorkerHost _worker = null!;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_unit_that_is_asked_for_again_tells_its_result_without_working()
    {
        var script = new UnitScript { Work = (_, _, _) => _worker.StoreAsync("the result") };
        await using var worker = await StartAsync(script);
        var (first, second) = (Command("a"), Command("a"));
        await worker.SendAsync(first);
        await worker.HearAsync<SequencesFiltered>();
        await worker.SendAsync(second);
        await worker.SendAsync(second);
        var told = await worker.HearAsync<SequencesFiltered>(3);
        script.Begun.ShouldBe(1);
        told.Select(done => done.PipelineId).ShouldBe([first.PipelineId, second.PipelineId, second.PipelineId], "each is told to who asked");
        told.ShouldAllBe(done => done.Result == told[0].Result && done.Unit == first.Unit);
    }

    [Fact]
    public async Task A_unit_whose_result_is_gone_from_the_store_is_done_again()
    {
        var script = new UnitScript { Work = (_, _, _) => _worker.StoreAsync("the result") };
        await using var worker = await StartAsync(script);
        await worker.SendAsync(Command("a"));
        var manifest = (await worker.HearAsync<SequencesFiltered>())[0].Result;
        await worker.Store.DeleteAsync(manifest);
        await worker.SendAsync(Command("a"));
        (await worker.HearAsync<SequencesFiltered>(2))[1].Result.ShouldBe(manifest);
        script.Begun.ShouldBe(2);
    }

    [Fact]
    public async Task Where_another_worker_was_first_its_result_stands()
    {
        var command = Command("a");
        var script = new UnitScript
        {
            Work = async (_, _, _) =>
            {
                var other = await _worker.StoreAsync("the other's result");
                await _worker.Results.RememberAsync(command.Unit, new UnitResult(other, new JsonObject
                {
                    ["unit"] = command.Unit.Value,
                    ["result"] = other.Value,
                    ["sequences"] = 1,
                }));
                return await _worker.StoreAsync("its own result");
            },
        };
        await using var worker = await StartAsync(script);
        await worker.SendAsync(command);
        (await worker.HearAsync<SequencesFiltered>())[0].Result.ShouldBe(await worker.StoreAsync("the other's result"));
    }

    [Fact]
    public async Task What_its_input_forbids_fails_for_good_at_the_first_try()
    {
        var script = new UnitScript { Work = (_, _, _) => throw new InvalidInputException("the weights are damaged") };
        await using var worker = await StartAsync(script);
        var command = Command("a");
        await worker.SendAsync(command);
        (await worker.HearAsync<UnitFailed>())[0].ShouldBe(new UnitFailed(command.PipelineId, command.Unit, "the weights are damaged", FailureKind.Input));
        script.Begun.ShouldBe(1);
        worker.Told.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_store_that_is_away_is_told_at_the_first_try_and_is_nobodys_failure()
    {
        var script = new UnitScript { Work = (_, _, _) => throw new StoreAwayException("the bucket does not answer") };
        await using var worker = await StartAsync(script);
        var command = Command("a");
        await worker.SendAsync(command);
        (await worker.HearAsync<UnitFailed>())[0].ShouldBe(new UnitFailed(command.PipelineId, command.Unit, "the bucket does not answer", FailureKind.Away));
        script.Begun.ShouldBe(1);
    }

    [Fact]
    public async Task What_fails_otherwise_is_tried_three_times_and_then_told_as_a_fault()
    {
        var script = new UnitScript { Work = (_, _, _) => throw new IOException("the file is in use") };
        await using var worker = await StartAsync(script);
        var command = Command("a");
        await worker.SendAsync(command);
        var fault = (await worker.HearAsync<Fault<FilterSequences>>())[0];
        fault.Message.Unit.ShouldBe(command.Unit);
        fault.Exceptions[0].Message.ShouldBe("the file is in use");
        script.Begun.ShouldBe(3);
        worker.Told.Count.ShouldBe(1);
        (await worker.ReadinessAsync()).Status.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Every_end_of_a_unit_is_measured()
    {
        var script = new UnitScript
        {
            Work = (command, _, _) => command.Unit == Command("input").Unit ? throw new InvalidInputException("the weights are damaged")
                : command.Unit == Command("away").Unit ? throw new StoreAwayException("the bucket does not answer")
                : command.Unit == Command("failed").Unit ? throw new IOException("the file is in use") : _worker.StoreAsync("the result"),
        };
        await using var worker = await StartAsync(script);
        // Found before the listener asks: it holds a lock that whoever makes instruments needs.
        var (ends, seconds) = (new ConcurrentQueue<string>(), worker.Metrics.Seconds);
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, own) =>
            {
                if (instrument == seconds)
                    own.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<double>((_, _, tags, _) => ends.Enqueue(string.Join(' ', tags.ToArray().Select(tag => tag.Value))));
        listener.Start();
        foreach (var name in new[] { "done", "done", "input", "away", "failed" })
            await worker.SendAsync(Command(name));
        await worker.WaitAsync(() => ends.Count == 7, "seven ends");
        ends.ShouldBe(new[] { "done", "reused", "input", "away", "failed", "failed", "failed" }.Select(end => $"FilterSequences {end}"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(true, true)]
    [InlineData(false)]
    public async Task A_machine_at_fault_hands_units_back_takes_no_more_and_starts_again_when_it_is_well(bool isDisk, bool isFile = false)
    {
        const int noSpace = 28;
        // A full disk says so itself; what else goes wrong is the machine's fault where the machine fails its check too.
        var fault = new MachineFault("the device cannot be used: unspecified launch failure", NeedsRestart: true);
        var isBroken = true;
        var script = new UnitScript
        {
            Work = (_, _, _) => !isBroken ? _worker.StoreAsync("the result")
                : throw (isFile ? new InvalidInputException("checkpoint: cannot be written", "see that the disk has room", new IOException("the store has no room", noSpace))
                    : isDisk ? new StoreFullException("the store has no room") : new InvalidOperationException("CUDA error: unspecified launch failure")),
        };
        // Before the first unit the machine is well.
        script.Check = () => isBroken && script.Begun > 0 ? isDisk ? new MachineFault("the store has no room") : fault : null;
        await using var worker = await StartAsync(script);
        var command = Command("a");
        await worker.SendAsync(command);

        var failed = (await worker.HearAsync<UnitFailed>())[0];
        failed.ShouldBe(new UnitFailed(command.PipelineId, command.Unit, isDisk ? "the store has no room" : fault.Reason, FailureKind.Machine));
        script.Begun.ShouldBe(1, "it is not tried again here");
        var ready = await worker.ReadinessAsync();
        ready.Status.ShouldBe(HttpStatusCode.ServiceUnavailable);
        ready.Body.ShouldContain($"machine: {failed.Reason}");
        (await worker.ReadinessAsync("live")).Status.ShouldBe(isDisk ? HttpStatusCode.OK : HttpStatusCode.ServiceUnavailable);

        // It is sent again while the queue is closed, and so stays for another worker.
        await worker.ClosedAsync();
        await worker.SendAsync(command);
        await worker.PassAsync(TimeSpan.FromSeconds(15));
        await worker.WaitAsync(() => script.Checks >= (isDisk ? 2 : 3), "the check of the machine");
        worker.Told.Count.ShouldBe(1);
        script.Begun.ShouldBe(1);

        isBroken = false;
        await worker.PassAsync(TimeSpan.FromSeconds(30));
        await worker.HearAsync<SequencesFiltered>();
        (await worker.ReadinessAsync()).Status.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_machine_that_is_broken_at_the_start_takes_no_unit()
    {
        var script = new UnitScript { Work = (_, _, _) => _worker.StoreAsync("the result"), Check = () => new MachineFault("no usable GPU") };
        await using var worker = await StartAsync(script);
        await worker.ClosedAsync();
        await worker.SendAsync(Command("a"));
        (await worker.ReadinessAsync()).Body.ShouldContain("machine: no usable GPU");
        worker.Told.ShouldBeEmpty();
    }

    [Fact]
    public async Task What_passes_by_is_not_told()
    {
        var script = new UnitScript
        {
            Work = (_, attempt, _) => attempt < 3 ? throw new IOException("the disk is busy") : _worker.StoreAsync("the result"),
        };
        await using var worker = await StartAsync(script);
        await worker.SendAsync(Command("a"));
        await worker.HearAsync<SequencesFiltered>();
        worker.Told.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_cancellation_stops_what_is_at_hand_and_what_waits_of_its_epoch_alone()
    {
        var began = new TaskCompletionSource();
        var script = new UnitScript
        {
            Work = async (command, _, stop) =>
            {
                if (command.Filter == s_part)
                    return await _worker.StoreAsync("the result");
                began.TrySetResult();
                await Task.Delay(Timeout.Infinite, stop);
                return default;
            },
        };
        await using var worker = await StartAsync(script);
        var pipeline = Guid.NewGuid();
        await worker.SendAsync(Command("at hand", pipeline));
        await began.Task;
        await worker.SendAsync(Command("waits", pipeline));
        // A retry begins the next epoch; its commands may even be sent first.
        await worker.SendAsync(Command("later", pipeline) with { Filter = s_part, Epoch = 2 });
        await worker.SendAsync(new PipelineCancelled(pipeline, Epoch: 1));
        await worker.HearAsync<SequencesFiltered>();
        script.Begun.ShouldBe(2, "what waited was never begun");
        worker.Told.Count.ShouldBe(1, "what was stopped is told to nobody");
    }

    [Fact]
    public async Task One_unit_runs_at_a_time()
    {
        var (running, most) = (0, 0);
        var script = new UnitScript
        {
            Work = async (_, _, _) =>
            {
                most = Math.Max(most, Interlocked.Increment(ref running));
                await Task.Delay(30);
                Interlocked.Decrement(ref running);
                return await _worker.StoreAsync("the result");
            },
        };
        await using var worker = await StartAsync(script);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(unit => worker.SendAsync(Command($"{unit}"))));
        await worker.HearAsync<SequencesFiltered>(8);
        most.ShouldBe(1);
    }

    private async Task<WorkerHost> StartAsync(UnitScript script) => _worker = await WorkerHost.StartAsync(_folder, script);

    private static FilterSequences Command(string unit, Guid? pipeline = null) =>
        new(pipeline ?? Guid.NewGuid(), Digest.Of("model"), Digest.Of("student"), Digest.Of(unit), Digest.Of("data"), [], Epoch: 1);
}

using MassTransit;
using MassTransit.Testing;
using Microsoft.Extensions.DependencyInjection;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Models;
using Qbb.Tests;
using Qbb.Workers.Units;

namespace Qbb.Workers.Tests;

/// <summary>The runner on a bus in memory, around work that is made up.</summary>
public sealed class UnitRunnerTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private readonly MadeUpWork _work = new();
    private ServiceProvider _services = null!;
    private ITestHarness _harness = null!;

    public async ValueTask InitializeAsync()
    {
        var store = new LocalArtifactStore(_folder.Path);
        _work.Store = store;
        _services = new ServiceCollection()
            .AddLogging()
            .AddSingleton<IUnitResults>(new LocalUnitResults(store, _folder.Path))
            .AddSingleton<ComputeGate>().AddSingleton<CancelledPipelines>().AddSingleton<UnitMetrics>().AddSingleton<UnitRunner>().AddSingleton(_work)
            .AddMassTransitTestHarness(bus =>
            {
                bus.AddUnit<MadeUpConsumer>("worker");
                bus.AddConsumer<PipelineCancelledConsumer>();
            })
            .BuildServiceProvider(validateScopes: true);
        _harness = await _services.StartTestHarness();
    }

    public async ValueTask DisposeAsync()
    {
        await _services.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_unit_that_is_asked_for_three_times_is_done_once_and_told_each_time()
    {
        var (first, second) = (Command(Guid.NewGuid()), Command(Guid.NewGuid()));
        await _harness.Bus.PublishBatch([first, first, second]);
        await EventsAsync<SequencesSampled>(3);
        _work.Runs.ShouldBe(1);
        var told = _harness.Published.Select<SequencesSampled>().Select(message => message.Context.Message).ToList();
        told.Select(done => done.PipelineId).Order().ShouldBe(new[] { first.PipelineId, first.PipelineId, second.PipelineId }.Order());
        told.Select(done => done.Result).Distinct().Count().ShouldBe(1);
        told.ShouldAllBe(done => done.Units == 5 && done.Unit == first.Unit);
    }

    [Fact]
    public async Task An_input_at_fault_is_told_at_once_and_not_tried_again()
    {
        _work.Throws = new InvalidInputException("the weights are no numbers");
        await _harness.Bus.Publish(Command(Guid.NewGuid()));
        await EventsAsync<UnitFailed>(1);
        var failed = _harness.Published.Select<UnitFailed>().Single().Context.Message;
        (failed.Permanent, failed.Reason).ShouldBe((true, "the weights are no numbers"));
        _work.Runs.ShouldBe(1);
        (await _harness.Published.Any<Fault<SampleSequences>>(new CancellationTokenSource(500).Token)).ShouldBeFalse();
    }

    [Fact]
    public async Task What_fails_otherwise_is_tried_three_times_and_ends_as_a_fault()
    {
        _work.Throws = new IOException("the disk is gone");
        await _harness.Bus.Publish(Command(Guid.NewGuid()));
        await EventsAsync<Fault<SampleSequences>>(1);
        _work.Runs.ShouldBe(3);
        _harness.Published.Select<Fault<SampleSequences>>().Single().Context.Message.Exceptions[0].Message.ShouldBe("the disk is gone");
    }

    [Fact]
    public async Task A_cancelled_pipeline_stops_what_is_at_hand()
    {
        _work.Waits = true;
        var command = Command(Guid.NewGuid());
        await _harness.Bus.Publish(command);
        await _work.Started.Task.WaitAsync(TimeSpan.FromSeconds(30));
        await _harness.Bus.Publish(new PipelineCancelled(command.PipelineId));
        await _work.Stopped.Task.WaitAsync(TimeSpan.FromSeconds(30));
        (await _harness.Published.Any<Fault<SampleSequences>>(new CancellationTokenSource(500).Token)).ShouldBeFalse();
        _harness.Published.Select<SequencesSampled>().Any().ShouldBeFalse();
    }

    private static SampleSequences Command(Guid pipeline) => new(pipeline, Digest.Of("model"), Digest.Of("part"), DataUse.Calibration, 0);

    private async Task EventsAsync<T>(int count)
        where T : class
    {
        for (var tries = 0; _harness.Published.Select<T>().Count() < count; tries++)
        {
            tries.ShouldBeLessThan(300);
            await Task.Delay(100);
        }
    }
}

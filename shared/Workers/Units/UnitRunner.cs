using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using MassTransit;
using Microsoft.Extensions.Logging;
using Qbb.Artifacts;
using Qbb.Checkpoints;
using Qbb.Models;

namespace Qbb.Workers.Units;

/// <summary>
/// Runs one unit in every worker: deduplicate (a stored result is published again), execute, store, publish. Invalid input is reported at once;
/// other failures are thrown, so that the bus retries and in the end moves the message to the error queue and publishes a fault.
/// </summary>
public sealed class UnitRunner(
    IUnitResults results, ComputeGate gate, CancelledPipelines cancelled, UnitMetrics metrics, ILogger<UnitRunner> log)
{
    private const string Pipeline = "pipelineId";

    /// <param name="context">Of the command.</param>
    /// <param name="pipeline">Who asks.</param>
    /// <param name="unit">Its identity.</param>
    /// <param name="resultOf">The manifest that an event names.</param>
    /// <param name="work">Does the work, stores its files and gives the event.</param>
    public async Task RunAsync<TCommand, TEvent>(
        ConsumeContext<TCommand> context, Guid pipeline, Digest unit, Func<TEvent, Digest> resultOf, Func<CancellationToken, Task<TEvent>> work)
        where TCommand : class
        where TEvent : class
    {
        var kind = typeof(TCommand).Name;
        using var atHand = cancelled.Begin(pipeline, context.SentTime ?? DateTime.UtcNow);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, atHand.Token);
        try
        {
            stop.Token.ThrowIfCancellationRequested();
            var found = await FindAsync<TEvent>(kind, pipeline, unit, stop.Token);
            var done = found ?? await DoAsync(kind, pipeline, unit, resultOf, work, stop.Token);
            await context.Publish(done, sent => sent.Headers.Set(UnitKey.FoundHeader, found is not null), CancellationToken.None);
        }
        catch (OperationCanceledException) when (atHand.Token.IsCancellationRequested)
        {
            log.LogInformation("{Kind} {Unit} was not finished: its pipeline is cancelled", kind, unit);
        }
        catch (InvalidInputException error)
        {
            metrics.Failed(kind);
            log.LogWarning("{Kind} {Unit} cannot be done: {Reason}", kind, unit, error.Message);
            await context.Publish(new UnitFailed(pipeline, unit, error.Message, FailureKind.Input), CancellationToken.None);
        }
        catch (StoreAwayException error)
        {
            // Trying again at once would meet the same store; the registry waits longer each time.
            log.LogWarning("{Kind} {Unit} has to wait: {Reason}", kind, unit, error.Message);
            await context.Publish(new UnitFailed(pipeline, unit, error.Message, FailureKind.Away), CancellationToken.None);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            metrics.Failed(kind);
            log.LogWarning(error, "{Kind} {Unit} failed, try {Try}", kind, unit, context.GetRetryAttempt() + 1);
            throw;
        }
    }

    private async Task<TEvent?> FindAsync<TEvent>(string kind, Guid pipeline, Digest unit, CancellationToken cancellation)
        where TEvent : class
    {
        if (await results.FindAsync(unit, cancellation) is not { } found)
            return null;
        metrics.Found(kind);
        return Told<TEvent>(found, pipeline);
    }

    private async Task<TEvent> DoAsync<TEvent>(
        string kind, Guid pipeline, Digest unit, Func<TEvent, Digest> resultOf, Func<CancellationToken, Task<TEvent>> work,
        CancellationToken cancellation)
        where TEvent : class
    {
        var watch = new Stopwatch();
        // Every unit of a model says the same of it, so these are no louder than the unit's own line.
        using var heard = ModelWarnings.Listen(warning => log.LogInformation("{Kind} {Unit}: warning: {Warning}", kind, unit, warning));
        var done = await gate.RunAsync(() =>
        {
            watch.Start();
            return work(cancellation);
        }, cancellation);
        metrics.Done(kind, watch.Elapsed);
        log.LogInformation("{Kind} {Unit} took {Seconds:0.0} s", kind, unit, watch.Elapsed.TotalSeconds);
        var told = JsonSerializer.SerializeToNode(done, JsonSerializerOptions.Web)!.AsObject();
        told.Remove(Pipeline);
        // Where another worker did the same unit meanwhile its result stands, so that all go on with one.
        return Told<TEvent>(await results.RememberAsync(unit, new UnitResult(resultOf(done), told), CancellationToken.None), pipeline);
    }

    private static TEvent Told<TEvent>(UnitResult result, Guid pipeline)
    {
        var json = (JsonObject)result.Event.DeepClone();
        json[Pipeline] = pipeline;
        return json.Deserialize<TEvent>(JsonSerializerOptions.Web)!;
    }
}

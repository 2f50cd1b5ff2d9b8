using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using MassTransit;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Checkpoints;
using Qbb.Hosting.Bus;
using Qbb.Hosting.Telemetry;
using Qbb.Models;

namespace Qbb.Workers.Units;

/// <summary>
/// Runs one unit in every worker: deduplicate (a stored result is published again), execute, store, publish. Invalid input, a store that is away and
/// a machine at fault are reported at once; other failures are thrown, so that the bus retries and in the end moves the message to the error queue
/// and publishes a fault.
/// </summary>
public sealed class UnitRunner(
    IUnitResults results, ComputeGate gate, CancelledPipelines cancelled, MachineBreaker breaker, UnitMetrics metrics, UnitActivity activity, TimeProvider clock,
    IOptions<WorkerOptions> worker, ILogger<UnitRunner> log)
{
    private const string Pipeline = "pipelineId";

    // Beside the event's own members in what is remembered.
    private const string Environment = "environment";
    private string? _environment;

    /// <param name="context">Of the command.</param>
    /// <param name="resultOf">The manifest that an event names.</param>
    /// <param name="work">Does the work, stores its files and gives the event.</param>
    public async Task RunAsync<TCommand, TEvent>(
        ConsumeContext<TCommand> context, Func<TEvent, Digest> resultOf, Func<CancellationToken, Task<TEvent>> work)
        where TCommand : class, IUnitCommand
        where TEvent : class
    {
        // A delivery whose connection is cut is over before its unit has ended.
        var (kind, command, cancellation) = (typeof(TCommand).Name, context.Message, context.CancellationToken);
        using var begun = activity.Begin();
        using var atHand = cancelled.Begin(command);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, atHand.Token);
        var watch = new Stopwatch();
        Activity.Current?.SetTag(TelemetryExtensions.PipelineTag, command.PipelineId);
        try
        {
            stop.Token.ThrowIfCancellationRequested();
            var found = await results.FindAsync(command.Unit, stop.Token);
            var result = found ?? await DoAsync(kind, command, resultOf, work, watch, stop.Token);
            Ended(found is null ? UnitEnd.Done : UnitEnd.Reused);
            await PublishAsync(context, Told<TEvent>(result, command.PipelineId), cancellation, sent =>
            {
                sent.Headers.Set(UnitKey.FoundHeader, found is not null);
                sent.Headers.Set(UnitKey.EnvironmentHeader, (string?)result.Event[Environment]);
                if (found is null)
                    sent.Headers.Set(UnitKey.SecondsHeader, watch.Elapsed.TotalSeconds.ToString(CultureInfo.InvariantCulture));
            });
        }
        catch (OperationCanceledException) when (atHand.Token.IsCancellationRequested)
        {
            Ended(UnitEnd.Cancelled);
            log.LogInformation("{Kind} {Unit} of pipeline {Pipeline} was not finished: it is cancelled", kind, command.Unit, command.PipelineId);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            if (await ExplainAsync(error, cancellation) is not var (failure, reason))
            {
                Ended(UnitEnd.Failed);
                log.LogWarning(error, "{Kind} {Unit} of pipeline {Pipeline} failed, try {Try}", kind, command.Unit, command.PipelineId, context.GetRetryAttempt() + 1);
                throw;
            }
            Ended(failure switch { FailureKind.Input => UnitEnd.Input, FailureKind.Away => UnitEnd.Away, _ => UnitEnd.Machine });
            log.LogWarning("{Kind} {Unit} of pipeline {Pipeline} cannot be done ({Failure}): {Reason}", kind, command.Unit, command.PipelineId, failure, reason);
            await PublishAsync(context, new UnitFailed(command.PipelineId, command.Unit, reason, failure), cancellation);
        }

        void Ended(UnitEnd outcome) => metrics.Record(kind, outcome, watch.Elapsed);
    }

    /// <summary>Whose fault an error is; null where another try may tell. A machine at fault takes no more units.</summary>
    private async Task<(FailureKind Kind, string Reason)?> ExplainAsync(Exception error, CancellationToken cancellation)
    {
        // Trying again at once would meet the same store; the registry waits longer each time.
        for (Exception? inner = error; inner is not null; inner = inner.InnerException)
        {
            if (inner is StoreAwayException)
                return (FailureKind.Away, inner.Message);
        }
        // What cannot be written because the disk is full is the machine's fault, though whoever writes says it as to a person.
        if (error is InvalidInputException && MachineFault.Of(error) is null)
        {
            activity.NoteInvalidInput();
            return (FailureKind.Input, error.Message);
        }
        if (await breaker.FindAsync(error, cancellation) is not { } fault)
            return null;
        if (error is not MachineFaultException)
            breaker.Trip(fault);
        return (FailureKind.Machine, fault.Reason);
    }

    /// <summary>Publishes, if need be when the broker is back; a result is not to be lost to an outage.</summary>
    private async Task PublishAsync(ConsumeContext context, object message, CancellationToken cancellation, Action<PublishContext>? describe = null)
    {
        for (var tries = 1; ; tries++)
        {
            try
            {
                await context.Publish(message, message.GetType(), Pipe.Execute<PublishContext>(sent => describe?.Invoke(sent)), CancellationToken.None);
                return;
            }
            catch (Exception error) when (BrokerFaults.IsAway(error) && !cancellation.IsCancellationRequested)
            {
                log.LogWarning("The broker is away, {Message} waits: {Reason}", message.GetType().Name, error.GetBaseException().Message);
                await Task.Delay(Backoff.After(tries), clock, cancellation);
            }
        }
    }

    private async Task<UnitResult> DoAsync<TEvent>(
        string kind, IUnitCommand command, Func<TEvent, Digest> resultOf, Func<CancellationToken, Task<TEvent>> work, Stopwatch watch, CancellationToken cancellation)
        where TEvent : class
    {
        // Every unit of a model says the same of it, so these are no louder than the unit's own line.
        using var heard = ModelWarnings.Listen(warning => log.LogInformation("{Kind} {Unit} of pipeline {Pipeline}: warning: {Warning}", kind, command.Unit, command.PipelineId, warning));
        var done = await gate.RunAsync(() =>
        {
            // Another unit may have found it out while this one waited.
            if (breaker.Fault is { } fault)
                throw new MachineFaultException(fault);
            watch.Start();
            return work(cancellation);
        }, cancellation);
        watch.Stop();
        breaker.UnitDone();
        log.LogInformation("{Kind} {Unit} of pipeline {Pipeline} took {Seconds:0.0} s", kind, command.Unit, command.PipelineId, watch.Elapsed.TotalSeconds);
        var told = JsonSerializer.SerializeToNode(done, JsonSerializerOptions.Web)!.AsObject();
        told.Remove(Pipeline);
        told[Environment] = _environment ??= $"{WorkerEnvironment.Of(worker.Value.ReadDevice(), worker.Value.Threads)}";
        // Where another worker did the same unit meanwhile its result stands, so that all go on with one.
        return await results.RememberAsync(command.Unit, new UnitResult(resultOf(done), told), CancellationToken.None);
    }

    private static TEvent Told<TEvent>(UnitResult result, Guid pipeline)
    {
        var json = (JsonObject)result.Event.DeepClone();
        json[Pipeline] = pipeline;
        return json.Deserialize<TEvent>(JsonSerializerOptions.Web)!;
    }
}

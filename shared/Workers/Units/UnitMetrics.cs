using System.Diagnostics.Metrics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Qbb.Cuda;
using Qbb.Hosting.Telemetry;

namespace Qbb.Workers.Units;

/// <summary>How a unit of work ended at a worker.</summary>
public enum UnitEnd
{
    Done,

    /// <summary>Its result was in the store already.</summary>
    Reused,

    /// <summary>The error is not one of the others; it may be tried again.</summary>
    Failed,

    /// <summary>The input is invalid.</summary>
    Input,

    /// <summary>The store was out of reach.</summary>
    Away,

    /// <summary>The machine is at fault.</summary>
    Machine,

    /// <summary>Nobody waits for it any more.</summary>
    Cancelled,
}

/// <summary>Units by command and outcome, with their seconds.</summary>
public sealed class UnitMetrics : IDisposable
{
    private readonly Meter _meter = new(TelemetryExtensions.Source);

    public UnitMetrics() => Seconds = _meter.CreateHistogram<double>("qbb.unit.duration", "s", "Time of a unit of work");

    internal Histogram<double> Seconds { get; }

    public void Record(string unit, UnitEnd outcome, TimeSpan time) =>
        Seconds.Record(time.TotalSeconds, new("unit", unit), new("outcome", outcome.ToString().ToLowerInvariant()));

    public void Dispose() => _meter.Dispose();
}

/// <summary>Tokens that models calculate; the rate of the counter is the tokens per second.</summary>
public static class TokenMetrics
{
    private static readonly Counter<long> s_tokens =
        new Meter(TelemetryExtensions.Source).CreateCounter<long>("qbb.tokens", "{token}", "Tokens that were sampled, scored or trained on");

    public static void Sampled(long tokens) => Add("sample", tokens);

    public static void Scored(long tokens) => Add("score", tokens);

    public static void Evaluated(long tokens) => Add("evaluate", tokens);

    public static void Trained(long tokens) => Add("distil", tokens);

    private static void Add(string stage, long tokens) => s_tokens.Add(tokens, new KeyValuePair<string, object?>("stage", stage));
}

/// <summary>Memory, use and energy of the GPU that a worker calculates on; nothing on a CPU.</summary>
internal sealed class DeviceMetrics(IOptions<WorkerOptions> options) : IHostedService, IDisposable
{
    private readonly Meter _meter = new(TelemetryExtensions.Source);

    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (options.Value.ReadDevice() is { type: DeviceType.CUDA } device && DeviceMonitor.Open(device) is { } monitor)
            Export(device.ToString(), () => monitor.Memory, () => monitor.Use, () => monitor.Joules);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => _meter.Dispose();

    internal void Export(string name, Func<(long Used, long Total)?> memory, Func<double?> use, Func<double?> joules)
    {
        KeyValuePair<string, object?> device = new("device", name);
        _meter.CreateObservableGauge("qbb.gpu.memory.used", () => Of(memory()?.Used), "By", "Memory of the GPU that is in use, by any process");
        _meter.CreateObservableGauge("qbb.gpu.memory.limit", () => Of(memory()?.Total), "By", "Memory of the GPU");
        _meter.CreateObservableGauge("qbb.gpu.utilization", () => Of(use()), description: "Part of the time in which the GPU calculated");
        _meter.CreateObservableCounter("qbb.gpu.energy", () => Of(joules()), "J", "Energy that the GPU used since its driver was loaded");

        // What the board does not tell has no measurement.
        IEnumerable<Measurement<T>> Of<T>(T? value)
            where T : struct => value is { } known ? [new Measurement<T>(known, device)] : [];
    }
}

using System.Diagnostics.Metrics;
using Qbb.Hosting.Telemetry;

namespace Qbb.Workers.Units;

/// <summary>Counts and times of units, by the command's name.</summary>
public sealed class UnitMetrics : IDisposable
{
    private readonly Meter _meter = new(TelemetryExtensions.Source);
    private readonly Histogram<double> _seconds;
    private readonly Counter<long> _found;
    private readonly Counter<long> _failed;

    public UnitMetrics()
    {
        _seconds = _meter.CreateHistogram<double>("qbb.unit.duration", "s", "Time of a unit of work");
        _found = _meter.CreateCounter<long>("qbb.unit.found", description: "Units whose result was there already");
        _failed = _meter.CreateCounter<long>("qbb.unit.failed", description: "Units that failed");
    }

    public void Done(string kind, TimeSpan time) => _seconds.Record(time.TotalSeconds, new KeyValuePair<string, object?>("unit", kind));

    public void Found(string kind) => _found.Add(1, new KeyValuePair<string, object?>("unit", kind));

    public void Failed(string kind) => _failed.Add(1, new KeyValuePair<string, object?>("unit", kind));

    public void Dispose() => _meter.Dispose();
}

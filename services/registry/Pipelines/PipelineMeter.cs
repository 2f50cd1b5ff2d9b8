using System.Diagnostics.Metrics;
using Qbb.Hosting.Telemetry;
using Qbb.Registry.Pipelines.Machine;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>What the pipelines have done, for whoever collects metrics.</summary>
internal sealed class PipelineMeter
{
    private readonly Counter<long> _units;
    private readonly Counter<long> _failures;
    private readonly Counter<long> _ended;

    public PipelineMeter(IMeterFactory factory)
    {
        var meter = factory.Create(TelemetryExtensions.Source);
        _units = meter.CreateCounter<long>("qbb.units.done", description: "Units of work that are done");
        _failures = meter.CreateCounter<long>("qbb.units.failed", description: "Failures of units, those included that are tried again");
        _ended = meter.CreateCounter<long>("qbb.pipelines.ended", description: "Pipelines that came to an end");
    }

    /// <summary>Counts what a decision changes.</summary>
    public void Count(Pipeline before, Decision decision)
    {
        foreach (var unit in decision.Units)
        {
            if (unit.Status == UnitStatus.Done)
                _units.Add(1, new KeyValuePair<string, object?>("kind", Wire.NameOf(unit.Kind)));
            else if (unit.Status == UnitStatus.Waiting)
                _failures.Add(1, new KeyValuePair<string, object?>("kind", Wire.NameOf(unit.Kind)));
        }
        if (decision.Pipeline.HasEnded && !before.HasEnded)
            _ended.Add(1, new KeyValuePair<string, object?>("state", Wire.NameOf(decision.Pipeline.Status)));
    }
}

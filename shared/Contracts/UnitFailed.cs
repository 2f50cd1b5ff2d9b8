using System.Text.Json.Serialization;

namespace Qbb.Contracts;

/// <summary>Event: a unit could not be done.</summary>
/// <param name="PipelineId">Who asked.</param>
/// <param name="Unit">Of the command.</param>
/// <param name="Reason">For people.</param>
/// <param name="Kind">Who can do something about it.</param>
public sealed record UnitFailed(Guid PipelineId, Digest Unit, string Reason, FailureKind Kind);

/// <summary>What a failure means for further attempts.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<FailureKind>))]
public enum FailureKind
{
    /// <summary>None of the others explains it: another attempt may succeed; so many are made.</summary>
    Unknown,

    /// <summary>The model or the recipe is at fault: every attempt would fail in the same way.</summary>
    Input,

    /// <summary>The worker's GPU, driver or disk is at fault: it takes no more units, another worker does this one, and no attempt is counted.</summary>
    Machine,

    /// <summary>Store, broker or database is out of reach: attempts are not counted, and go on until it is back.</summary>
    Away,
}

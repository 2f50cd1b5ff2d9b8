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
    /// <summary>Another attempt, perhaps on another machine, may succeed; so many are made.</summary>
    Machine,

    /// <summary>The model or the recipe is at fault: every attempt would fail in the same way.</summary>
    Input,

    /// <summary>The store is out of reach: attempts are not counted, and go on until it is back.</summary>
    Away,
}

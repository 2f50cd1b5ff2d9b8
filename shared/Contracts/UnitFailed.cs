namespace Qbb.Contracts;

/// <summary>Event: a unit could not be done.</summary>
/// <param name="PipelineId">Who asked.</param>
/// <param name="Unit">Of the command.</param>
/// <param name="Reason">For people: what is wrong and what helps.</param>
/// <param name="Permanent">
/// True where the input is at fault and trying again gives the same; false where it may help (and the worker's own tries are used up).
/// </param>
public sealed record UnitFailed(Guid PipelineId, Digest Unit, string Reason, bool Permanent);

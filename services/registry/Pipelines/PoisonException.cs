namespace Qbb.Registry.Pipelines.Running;

/// <summary>A message cannot be made use of: it goes to the error queue at once.</summary>
internal sealed class PoisonException(Exception inner) : Exception(inner.Message, inner);

namespace Qbb.Registry.Pipelines;

/// <summary>How far a stage is.</summary>
/// <param name="Name">Its name.</param>
/// <param name="State">waiting, running or done.</param>
/// <param name="Done">Units that are done; of a distillation its steps.</param>
/// <param name="Total">Units that are known so far; 0 if none is.</param>
public sealed record StageView(string Name, string State, int Done, int Total);

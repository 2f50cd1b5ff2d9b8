namespace Qbb.Registry.Pipelines.Machine;

/// <summary>A command to be sent.</summary>
internal readonly record struct UnitOrder(UnitKind Kind, int Index);

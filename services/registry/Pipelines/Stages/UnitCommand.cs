using Qbb.Contracts;

namespace Qbb.Registry.Pipelines.Running;

/// <summary>A command and the unit that it asks for.</summary>
internal readonly record struct UnitCommand(object Message, Digest Unit);

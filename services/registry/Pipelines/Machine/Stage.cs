namespace Qbb.Registry.Pipelines.Machine;

/// <summary>What people see of the kinds of work.</summary>
public enum Stage
{
    Decompose,
    Sample,
    Filter,
    Distil,
    Evaluate,
    Publish,
}

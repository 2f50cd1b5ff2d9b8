namespace Qbb.Registry.Pipelines.Machine;

public enum PipelineStatus
{
    /// <summary>Made, not started.</summary>
    Created,

    /// <summary>Waits for the result of another pipeline of the same model and recipe.</summary>
    Following,

    Running,
    Succeeded,
    Failed,
    Cancelled,
}

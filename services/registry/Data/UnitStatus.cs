namespace Qbb.Registry.Pipelines.Machine;

public enum UnitStatus
{
    /// <summary>Its command is on its way, or a worker is at it.</summary>
    Sent,

    /// <summary>It failed and is sent again when its time has come.</summary>
    Waiting,

    Done,
}

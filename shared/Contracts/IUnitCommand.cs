namespace Qbb.Contracts;

/// <summary>A command to a worker to do one unit of work.</summary>
public interface IUnitCommand
{
    Guid PipelineId { get; }

    /// <summary>The identity of the unit, whoever asks for it.</summary>
    Digest Unit { get; }

    /// <summary>The run of the pipeline that the command belongs to: it rises when a pipeline ends that a person may retry.</summary>
    int Epoch { get; }
}

/// <summary>The queues that commands go to, one for each kind of worker.</summary>
public static class WorkQueues
{
    public const string Synthdata = "synthdata";

    public const string Quantizer = "quantizer";

    public const string Evaluator = "evaluator";

    public static readonly IReadOnlyList<string> All = [Synthdata, Quantizer, Evaluator];
}

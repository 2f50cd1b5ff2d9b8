namespace Qbb.Registry.Pipelines.Machine;

/// <summary>What a unit of work does. A pipeline works on one kind at a time, in the order of its <see cref="PipelineRoute"/>.</summary>
public enum UnitKind
{
    /// <summary>A batch of sequences is sampled from the teacher.</summary>
    Sample,

    /// <summary>The batches become data.</summary>
    GatherData,

    /// <summary>Some layers become sums of binary matrices.</summary>
    Decompose,

    /// <summary>The layers become a model.</summary>
    AssembleModel,

    /// <summary>Some sequences are scored by the student's discrepancy from the teacher.</summary>
    Score,

    /// <summary>The sequences of highest discrepancy are kept.</summary>
    Filter,

    /// <summary>Some optimizer steps of the distillation, from one checkpoint to the next.</summary>
    Distil,

    /// <summary>A batch of the sequences that the result is scored on, where there is no text.</summary>
    SampleWindows,

    /// <summary>Those batches become data.</summary>
    GatherWindows,

    /// <summary>A range of windows is scored.</summary>
    Evaluate,

    /// <summary>The result becomes a version; the registry does it itself.</summary>
    Publish,
}

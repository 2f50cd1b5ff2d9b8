namespace Qbb.Models.Decoder;

/// <summary>What a linear layer does in the decoder.</summary>
public enum LinearRole
{
    Query,
    Key,
    Value,

    /// <summary>Query, key and value in one matrix; <see cref="LinearSpec.Parts"/> says which rows are which.</summary>
    QueryKeyValue,
    AttentionOutput,
    Gate,
    Up,

    /// <summary>Gate and up in one matrix, gate first.</summary>
    GateUp,
    Down,

    /// <summary>OPT-350m: from the embedding's width to the hidden width.</summary>
    ProjectIn,

    /// <summary>OPT-350m: from the hidden width to the embedding's width.</summary>
    ProjectOut,
    Head,
}

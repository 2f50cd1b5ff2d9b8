namespace Qbb.Models.Decoder;

/// <summary>How the projections of attention are stored.</summary>
public enum QkvPacking
{
    /// <summary>Three linear layers.</summary>
    Separate,

    /// <summary>One layer: all queries, then all keys, then all values.</summary>
    Concatenated,

    /// <summary>One layer: for each head its query, key and value.</summary>
    InterleavedByHead,
}

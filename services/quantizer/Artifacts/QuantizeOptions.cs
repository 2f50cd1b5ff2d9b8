namespace Qbb.Quantizer.Artifacts;

/// <summary>Where a quantized model goes and how; none of it changes the result.</summary>
/// <param name="Output">The folder to make.</param>
/// <param name="Force">Whether an existing folder may be replaced.</param>
public sealed record QuantizeOptions(string Output, bool Force = false)
{
    /// <summary>A larger model becomes several files of at most this many bytes (or one tensor).</summary>
    public long LargestFile { get; init; } = 4_000_000_000;
}

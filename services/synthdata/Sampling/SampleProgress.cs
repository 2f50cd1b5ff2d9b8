namespace Qbb.Synthdata.Sampling;

/// <summary>How far sampling is.</summary>
/// <param name="Done">Tokens of this run so far; a sequence that ended early counts as whole.</param>
/// <param name="Total">Tokens of this run, shards of earlier runs not counted.</param>
/// <param name="TokensPerSecond">Tokens that were drawn, by the time since the start.</param>
public sealed record SampleProgress(long Done, long Total, double TokensPerSecond);

namespace Qbb.Synthdata.Filtering;

/// <summary>How far scoring is, in sequences, and the mean discrepancy so far.</summary>
public sealed record FilterProgress(int Done, int Total, double MeanScore);

namespace Qbb.Evaluator.Scoring;

/// <summary>Reported after every batch of windows.</summary>
public sealed record ScoreProgress(int Done, int Total, double Perplexity);

namespace Qbb.Evaluator.Scoring;

/// <summary>What a model scored on a text.</summary>
/// <param name="Perplexity">exp of the mean cross-entropy per scored token.</param>
/// <param name="Windows">Windows scored.</param>
/// <param name="Tokens">Tokens of those windows; each window scores all but its first.</param>
/// <param name="Context">Tokens of a window.</param>
/// <param name="Kl">Mean Kullback-Leibler divergence KL(teacher ‖ model) per position in nats; null without a teacher.</param>
/// <param name="Top1">Share of positions where model and teacher have the same most likely token; null without a teacher.</param>
/// <param name="Seconds">Wall time of scoring, loading not counted.</param>
public sealed record Score(double Perplexity, int Windows, long Tokens, int Context, double? Kl, double? Top1, double Seconds);

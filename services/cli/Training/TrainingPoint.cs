namespace Qbb.Cli.Training;

/// <summary>One point of the training curve.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Tokens">Tokens seen.</param>
/// <param name="Loss">Mean training loss in nats per token since the last point.</param>
/// <param name="ValidationPerplexity">Over the first windows of the validation text.</param>
/// <param name="Seconds">Wall time so far.</param>
public sealed record TrainingPoint(int Step, long Tokens, double Loss, double ValidationPerplexity, double Seconds);

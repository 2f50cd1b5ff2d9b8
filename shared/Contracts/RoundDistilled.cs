namespace Qbb.Contracts;

/// <summary>Event: a round of distillation is over.</summary>
/// <param name="PipelineId">Who asked.</param>
/// <param name="Unit">Of the command.</param>
/// <param name="Result">Manifest of the checkpoint; of the distilled model's folder where the training is <paramref name="Finished"/>, or the student's
/// where it came to nothing better.</param>
/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps of the whole training.</param>
/// <param name="Finished">Whether that was the last round.</param>
/// <param name="StartKl">KL to the teacher on held-out sequences before the training, nats per token.</param>
/// <param name="Kl">The same of the best point so far.</param>
/// <param name="Note">Why the result is the student as it was; null where it is not.</param>
public sealed record RoundDistilled(
    Guid PipelineId, Digest Unit, Digest Result, int Step, int Steps, bool Finished, double StartKl, double Kl, string? Note = null);

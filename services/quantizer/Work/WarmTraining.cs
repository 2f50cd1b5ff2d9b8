using Microsoft.Extensions.Options;
using Qbb.Quantizer.Distillation;
using Qbb.Workers;

namespace Qbb.Quantizer.Work;

/// <summary>
/// The training that paused last, still loaded: its next round most often comes here too. One at a time, and only where its models are small
/// enough (Worker:WarmTrainingMegabytes). For one unit at a time.
/// </summary>
public sealed class WarmTraining(IOptions<WorkerOptions> options) : IDisposable
{
    private (Digest Checkpoint, Digest Distillation, Digest Data, DistillationSession Session, IDisposable Sequences)? _kept;

    /// <summary>Rounds that found their training loaded.</summary>
    public int Found { get; private set; }

    /// <summary>The training that paused at a command's checkpoint, which the caller now owns; null where it is not here. What was kept goes.</summary>
    internal (DistillationSession Session, IDisposable Sequences)? Take(DistillRound command)
    {
        if (_kept is not { } kept)
            return null;
        _kept = null;
        // A checkpoint follows from the models; recipe and data are looked at so that a wrong command cannot meet a right training.
        if (command.Checkpoint == kept.Checkpoint && command.Distillation == kept.Distillation && command.Data == kept.Data)
        {
            Found++;
            return (kept.Session, kept.Sequences);
        }
        kept.Session.Dispose();
        kept.Sequences.Dispose();
        return null;
    }

    /// <summary>Keeps a training that paused, or lets it go.</summary>
    internal void Keep(DistillRound command, Digest checkpoint, DistillationSession session, IDisposable sequences)
    {
        if (session.ModelBytes <= (long)options.Value.WarmTrainingMegabytes << 20)
        {
            _kept = (checkpoint, command.Distillation, command.Data, session, sequences);
            return;
        }
        session.Dispose();
        sequences.Dispose();
    }

    public void Dispose()
    {
        _kept?.Session.Dispose();
        _kept?.Sequences.Dispose();
        _kept = null;
    }
}

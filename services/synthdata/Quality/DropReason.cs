namespace Qbb.Synthdata.Quality;

/// <summary>Why a sequence is degenerate; see <see cref="Degeneracy"/>.</summary>
public enum DropReason
{
    Short,
    Run,
    Repetition,
    Broken,
}

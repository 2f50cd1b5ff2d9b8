namespace Qbb.Registry.Pipelines.Machine;

/// <summary>Sums over the scored positions of some windows, natural logarithms; those of all units add up.</summary>
/// <param name="Windows">Windows.</param>
/// <param name="Positions">Scored positions.</param>
/// <param name="CrossEntropy">Of −log p(next token) of the student.</param>
/// <param name="TeacherCrossEntropy">The same of the teacher.</param>
/// <param name="Divergence">Of KL(teacher ‖ student).</param>
/// <param name="Agreements">Positions where both have the same most likely token.</param>
public sealed record ScoreSums(
    int Windows, long Positions, double CrossEntropy, double TeacherCrossEntropy, double Divergence, long Agreements)
{
    public static ScoreSums operator +(ScoreSums a, ScoreSums b) => new(
        a.Windows + b.Windows, a.Positions + b.Positions, a.CrossEntropy + b.CrossEntropy,
        a.TeacherCrossEntropy + b.TeacherCrossEntropy, a.Divergence + b.Divergence, a.Agreements + b.Agreements);
}

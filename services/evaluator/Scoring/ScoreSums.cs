namespace Qbb.Evaluator.Scoring;

/// <summary>Sums over scored positions, natural logarithms; sums of parts add up to those of the whole.</summary>
public sealed class ScoreSums
{
    /// <summary>Of −log p(next token).</summary>
    public double CrossEntropy { get; private set; }

    /// <summary>The same of the teacher.</summary>
    public double TeacherCrossEntropy { get; private set; }

    /// <summary>Of KL(teacher ‖ model).</summary>
    public double Divergence { get; set; }

    /// <summary>Positions where both have the same most likely token.</summary>
    public long Agreements { get; set; }

    /// <summary>Positions.</summary>
    public long Positions { get; private set; }

    public double Perplexity => Math.Exp(CrossEntropy / Positions);

    public double Kl => Divergence / Positions;

    public double Top1 => (double)Agreements / Positions;

    internal void Add(double entropy, long positions)
    {
        CrossEntropy += entropy;
        Positions += positions;
    }

    internal void AddTeacher(double entropy) => TeacherCrossEntropy += entropy;

    /// <summary>Adds another part's sums.</summary>
    public void Add(ScoreSums other)
    {
        Add(other.CrossEntropy, other.Positions);
        AddTeacher(other.TeacherCrossEntropy);
        Divergence += other.Divergence;
        Agreements += other.Agreements;
    }
}

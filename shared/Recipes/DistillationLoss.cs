namespace Qbb.Recipes;

/// <summary>What the student is trained to make small; all are means over the positions of a step.</summary>
public enum DistillationLoss
{
    /// <summary>Cross-entropy of the next token of the data (hard labels). Needs no teacher.</summary>
    Ce,

    /// <summary>τ²·KL(teacher ‖ student) of the next token's distribution at temperature τ (soft labels).</summary>
    Kd,

    /// <summary>Mean squared difference of the logits.</summary>
    KdMse,

    /// <summary>The same while the teacher's blocks give way to the student's one by one (gradually swapped).</summary>
    KdMseSwap,
}

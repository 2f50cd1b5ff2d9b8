namespace Qbb.Recipes;

/// <summary>How far a student is from its teacher at one position; a sequence's discrepancy is the mean over its positions.</summary>
public enum Measure
{
    /// <summary>Mean over the vocabulary of the squared difference of the logits.</summary>
    Mse,

    /// <summary>KL(teacher‖student) in nats.</summary>
    Kl,
}

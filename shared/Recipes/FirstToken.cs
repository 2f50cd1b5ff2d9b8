namespace Qbb.Recipes;

/// <summary>The law of the random token that a sequence begins with.</summary>
public enum FirstToken
{
    /// <summary>Every ordinary token alike.</summary>
    Uniform,

    /// <summary>Ordinary tokens as often as they stand in earlier data.</summary>
    Unigram,
}

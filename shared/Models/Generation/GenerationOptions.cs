namespace Qbb.Models.Generation;

/// <summary>How tokens are chosen and when a sequence ends.</summary>
public sealed record GenerationOptions
{
    /// <summary>Most tokens that are added to a prompt.</summary>
    public int MaxTokens { get; init; } = 128;

    /// <summary>Logits are divided by it; 0 takes the likeliest token always.</summary>
    public double Temperature { get; init; } = 1;

    /// <summary>Only so many of the likeliest tokens can be drawn; 0 for all.</summary>
    public int TopK { get; init; }

    /// <summary>Only the likeliest tokens that together have this probability can be drawn, after top-k; 1 for all.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Only tokens of at least this share of the likeliest one's probability can be drawn, after top-p; 0 for all.</summary>
    public double MinP { get; init; }

    /// <summary>
    /// Logits of tokens that the prompt or the new text has are divided by it where they are positive, else multiplied, before the temperature (Keskar et
    /// al., CTRL, 2019); 1 for none.
    /// </summary>
    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>A sequence ends with any of these; the token is kept.</summary>
    public IReadOnlyCollection<int> StopIds { get; init; } = [];

    /// <summary>Called with a prompt's index and its new tokens after each of them; the sequence ends where it is true. Null for never.</summary>
    public Func<int, IReadOnlyList<int>, bool>? Ends { get; init; }

    /// <summary>Whether a GPU plays every token's step back as one recorded graph (<see cref="Decoder.Graph.GraphDecoder"/>), where that serves.</summary>
    public bool Graph { get; init; } = true;

    /// <exception cref="InvalidInputException">An option is out of range; the message names it.</exception>
    public void Validate()
    {
        if (MaxTokens < 0)
            throw new InvalidInputException($"max tokens is {MaxTokens}; it must not be negative");
        if (!(Temperature >= 0) || double.IsInfinity(Temperature))
            throw new InvalidInputException($"temperature is {Temperature}; it must be 0 (greedy) or a positive number");
        if (TopK < 0)
            throw new InvalidInputException($"top-k is {TopK}; it must be 0 (off) or a positive number");
        if (!(TopP > 0 && TopP <= 1))
            throw new InvalidInputException($"top-p is {TopP}; it must be above 0 and at most 1");
        if (!(MinP >= 0 && MinP <= 1))
            throw new InvalidInputException($"min-p is {MinP}; it must be 0 (off) to 1");
        if (!(RepetitionPenalty > 0) || double.IsInfinity(RepetitionPenalty))
            throw new InvalidInputException($"repetition penalty is {RepetitionPenalty}; it must be 1 (off) or another positive number");
    }
}

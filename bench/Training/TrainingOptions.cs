using Qbb.Models;

namespace Qbb.Bench.Training;

/// <summary>Choices of one training run of a small LLaMA.</summary>
public sealed record TrainingOptions
{
    public int Vocabulary { get; init; } = 4096;
    public int Hidden { get; init; } = 256;
    public int Intermediate { get; init; } = 640;
    public int Blocks { get; init; } = 6;
    public int Heads { get; init; } = 4;
    public int KeyValueHeads { get; init; } = 2;
    public int Context { get; init; } = 256;

    /// <summary>Sequences of one step.</summary>
    public int Batch { get; init; } = 8;
    public int Steps { get; init; } = 2600;
    public double LearningRate { get; init; } = 2.5e-3;
    public double WeightDecay { get; init; } = 0.1;

    /// <summary>Steps over which the learning rate rises from 0.</summary>
    public int Warmup { get; init; } = 100;

    /// <summary>Share of the steps, at the end, over which the learning rate falls to 0.</summary>
    public double Cooldown { get; init; } = 0.3;
    public double ClipNorm { get; init; } = 1;

    /// <summary>Steps between two measurements on the validation text.</summary>
    public int EvaluateEvery { get; init; } = 250;
    public ulong Seed { get; init; } = 1;

    /// <exception cref="InvalidInputException">A choice is impossible; the message names it.</exception>
    public void Validate()
    {
        Check(Vocabulary >= 260, "vocabulary", Vocabulary, "at least 260: the 256 bytes and the special tokens");
        Check(Hidden > 0 && Heads > 0 && Hidden % Heads == 0 && Hidden / Heads % 2 == 0, "hidden", Hidden, $"a multiple of twice the {Heads} heads");
        Check(KeyValueHeads > 0 && Heads % KeyValueHeads == 0, "kv-heads", KeyValueHeads, $"a divisor of the {Heads} heads");
        Check(Intermediate > 0, "intermediate", Intermediate, "positive");
        Check(Blocks > 0, "blocks", Blocks, "positive");
        Check(Context > 1, "context", Context, "at least 2");
        Check(Batch > 0, "batch", Batch, "positive");
        Check(Steps > 0, "steps", Steps, "positive");
        Check(Cooldown is >= 0 and <= 1, "cooldown", Cooldown, "between 0 and 1");
        Check(LearningRate > 0, "lr", LearningRate, "positive");
    }

    /// <summary>Trapezoid: rises over the warm-up, stays, falls linearly to 0 over the cool-down.</summary>
    public double LearningRateAt(int step)
    {
        var rising = Warmup == 0 ? 1 : Math.Min(1, (step + 1.0) / Warmup);
        var falling = Cooldown == 0 ? 1 : Math.Min(1, (Steps - step) / (Cooldown * Steps));
        return LearningRate * Math.Min(rising, falling);
    }

    private static void Check(bool holds, string name, object value, string rule)
    {
        if (!holds)
            throw new InvalidInputException($"--{name} is {value}; it must be {rule}");
    }
}

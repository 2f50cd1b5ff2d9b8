using System.Text.Json;

namespace Qbb.Recipes;

/// <summary>
/// The choices of one distillation that its result depends on. Members that are null take a default in <see cref="Resolve"/>. The defaults
/// are ours; the paper's text was not at hand.
/// </summary>
public sealed record DistillationRecipe
{
    /// <summary>What is made small.</summary>
    public DistillationLoss Loss { get; init; } = DistillationLoss.Kd;

    /// <summary>Optimizer steps.</summary>
    public int Steps { get; init; } = 400;

    /// <summary>Sequences of one pass.</summary>
    public int Batch { get; init; } = 16;

    /// <summary>Passes whose gradients add up to one step.</summary>
    public int Accumulate { get; init; } = 1;

    /// <summary>Peak rate, as a share of a group's mean scale per step.</summary>
    public double LearningRate { get; init; } = 2e-3;

    /// <summary>
    /// Peak rate of the signs' latent weights, as a share of a group's mean scale per step; null where the signs
    /// stay.
    /// </summary>
    public double? SignRate { get; init; }

    /// <summary>Steps over which the rate rises from 0; a tenth of the steps, at most 20, if null. Then a cosine to 0.</summary>
    public int? Warmup { get; init; }

    /// <summary>Largest Euclidean norm of all gradients together.</summary>
    public double Clip { get; init; } = 1;

    /// <summary>τ of soft labels; 1 if null. For <see cref="DistillationLoss.Kd"/> only.</summary>
    public double? Temperature { get; init; }

    /// <summary>Weight of the mean over the student's blocks of ‖h − h_teacher‖²/‖h_teacher‖² behind each block; 0 for none.</summary>
    public double FeatureWeight { get; init; }

    /// <summary>
    /// Share of the steps after which all blocks are the student's; a half if null. For <see cref="DistillationLoss.KdMseSwap"/> only.
    /// </summary>
    public double? SwapEnd { get; init; }

    /// <summary>Share of the sequences that are not trained on and decide which step was best; one sequence at least.</summary>
    public double HeldOut { get; init; } = 0.05;

    /// <summary>Steps between evaluations on the held-out sequences.</summary>
    public int EvaluateEvery { get; init; } = 50;

    /// <summary>Looks in a row without a better one after which the training ends; null for all steps.</summary>
    public int? Patience { get; init; }

    /// <summary>Seed of the split, the order of the data and the swaps.</summary>
    public long Seed { get; init; }

    /// <summary>Of weights and activations; scales and optimizer are in fp32 always.</summary>
    public Precision Precision { get; init; }

    /// <summary>The same with every choice that applies spelled out and every other null.</summary>
    /// <exception cref="InvalidInputException">Choices are out of range or contradict one another; the message lists all of
    /// them.</exception>
    public DistillationRecipe Resolve()
    {
        var problems = Problems().ToList();
        if (problems.Count > 0)
            throw new InvalidInputException("the distillation cannot be run: " + string.Join("; ", problems));
        return this with
        {
            Warmup = Warmup ?? Math.Min(20, Steps / 10),
            Temperature = Loss == DistillationLoss.Kd ? Temperature ?? 1 : null,
            SwapEnd = Loss == DistillationLoss.KdMseSwap ? SwapEnd ?? 0.5 : null,
        };
    }

    /// <summary>
    /// The same steps on the same sequences in passes of so many at most, whose gradients add up: less memory, and other rounding alone (but that
    /// <see cref="DistillationLoss.KdMseSwap"/> draws its blocks for every pass).
    /// </summary>
    public DistillationRecipe InPassesOf(int most)
    {
        var batch = Enumerable.Range(1, Math.Clamp(most, 1, Batch)).Last(rows => Batch % rows == 0);
        return this with { Batch = batch, Accumulate = Accumulate * (Batch / batch) };
    }

    /// <summary>
    /// The rate of a step (from 0) of a resolved recipe: linear warm-up, then half a cosine. That of the signs is in proportion.
    /// </summary>
    public double RateAt(int step)
    {
        var warmup = Warmup ?? 0;
        if (step < warmup)
            return LearningRate * (step + 1) / warmup;
        return LearningRate * 0.5 * (1 + Math.Cos(Math.PI * (step - warmup) / Math.Max(1, Steps - warmup)));
    }

    /// <summary>Reads the part of a recipe, its defaults filled in.</summary>
    /// <exception cref="InvalidInputException">It is no JSON object, or it cannot be used; the message lists everything that is wrong.</exception>
    public static DistillationRecipe FromJson(string json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            var problems = new List<string>();
            var recipe = DistillationRecipeJson.Read(document.RootElement, problems);
            problems.AddRange(recipe.Problems());
            return problems.Count == 0
                ? recipe.Resolve()
                : throw new InvalidInputException("the recipe's distillation cannot be used: " + string.Join("; ", problems));
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new InvalidInputException($"the recipe's distillation is not a JSON object: {error.Message}", error);
        }
    }

    internal IEnumerable<string> Problems()
    {
        if (!Enum.IsDefined(Loss))
            yield return $"loss must be one of {string.Join(", ", DistillationLossNames.All.Keys)}";
        (string, int, int)[] counts =
        [
            ("steps", Steps, 10_000_000), ("batch", Batch, 65_536), ("accumulate", Accumulate, 65_536),
            ("evaluateEvery", EvaluateEvery, int.MaxValue), ("patience", Patience ?? 1, int.MaxValue),
        ];
        foreach (var (name, value, most) in counts)
        {
            if (value < 1 || value > most)
                yield return $"{name} is {value}, it must be 1 to {most}";
        }
        if (Warmup is { } warmup && (warmup < 0 || warmup > Steps))
            yield return $"warmup is {warmup}, it must be 0 to the {Steps} steps";
        foreach (var (name, value) in new[] { ("learningRate", LearningRate), ("clip", Clip), ("temperature", Temperature ?? 1), ("signRate", SignRate ?? 1) })
        {
            if (!double.IsFinite(value) || value <= 0)
                yield return $"{name} is {value}, it must be positive";
        }
        if (!double.IsFinite(FeatureWeight) || FeatureWeight < 0)
            yield return $"featureWeight is {FeatureWeight}, it must be 0 or positive";
        if (Temperature is not null && Loss != DistillationLoss.Kd)
            yield return $"temperature is set but the loss is {DistillationLossNames.Of(Loss)}, which has none";
        if (SwapEnd is not null && Loss != DistillationLoss.KdMseSwap)
            yield return $"swapEnd is set but the loss is {DistillationLossNames.Of(Loss)}, which swaps no blocks";
        if (SwapEnd is { } end && !(end is >= 0 and <= 1))
            yield return $"swapEnd is {end}, it must be 0 to 1";
        if (!(HeldOut is > 0 and <= 0.5))
            yield return $"heldOut is {HeldOut}, it must be above 0 and at most 0.5";
        if (!Enum.IsDefined(Precision))
            yield return "type must be f32 or bf16";
    }
}

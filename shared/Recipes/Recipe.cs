using System.Security.Cryptography;
using System.Text;

namespace Qbb.Recipes;

/// <summary>
/// The whole set of choices of one quantization. Members that are null take the default of the other choices in
/// <see cref="Resolve"/>; two recipes that resolve to the same choices have the same <see cref="Digest"/>.
/// </summary>
public sealed record Recipe
{
    /// <summary>Most binary matrices of a weight.</summary>
    public const int MostBases = 8;

    /// <summary>N, the number of binary matrices of a weight: 1 to 8.</summary>
    public int Bases { get; init; } = 4;

    /// <summary>g, the columns that share a scale; null for one scale a row.</summary>
    public int? Group { get; init; } = 128;

    /// <summary>Whether every group has a bias β beside its scales.</summary>
    public bool Bias { get; init; } = true;

    /// <summary>Where the signs start from.</summary>
    public Init Init { get; init; } = Init.Cascaded;

    /// <summary>How signs and scales are improved.</summary>
    public Refinement Refinement { get; init; } = Refinement.Alternating;

    /// <summary>
    /// Rounds of alternating refinement (0: least squares once, the signs stay), or passes over the bases of a gradient one; 15 if null.
    /// </summary>
    public int? Rounds { get; init; }

    /// <summary>
    /// Starting points of alternating refinement; null for both where the init is cascaded and there are rounds, else greedy.
    /// </summary>
    public Starts? Starts { get; init; }

    /// <summary>Gradient steps of one block (a pass has N blocks); 20 if null. Gradient refinements only.</summary>
    public int? Steps { get; init; }

    /// <summary>Step of the latent weights, in units of the group's root mean square; 0.03 if null. Gradient refinements only.</summary>
    public double? LearningRate { get; init; }

    /// <summary>What decides how much an error counts; all but none need calibration data and alternating refinement.</summary>
    public Importance Importance { get; init; }

    /// <summary>Whether the first n planes are a model for every n from 1 to N, with scales of their own.</summary>
    public bool Nested { get; init; }

    /// <summary>Bits per weight that N of every layer was chosen for; null where N is the same for all.</summary>
    public double? Bits { get; init; }

    /// <summary>N of every layer; <see cref="Bases"/> is then the largest. Null where N is the same for all.</summary>
    public LayerBases? BasesPerLayer { get; init; }

    /// <summary>The format of other programs whose grid the levels are restricted to (<see cref="For"/>); null for free levels.</summary>
    public Target? Target { get; init; }

    /// <summary>What the result is exported to as well, each into a file or folder below <c>exports/</c>; null for nothing.</summary>
    public ExportFormats? Exports { get; init; }

    /// <summary>How embedding and head are stored.</summary>
    public EmbeddingForm Embedding { get; init; } = EmbeddingForm.Bits8;

    /// <summary>Columns of an embedding of integers that share a scale: the layers' group, at most 128, and at most 32 below 8 bits, where it matters; 32 for a target.</summary>
    public int EmbeddingGroup => Target is not null ? Target.EmbeddingGroup : Math.Min(Group ?? 128, Embedding == EmbeddingForm.Bits8 ? 128 : 32);

    /// <summary>Random seed, for inits that use randomness.</summary>
    public long Seed { get; init; }

    /// <summary>How the scales were trained afterwards; null if they were not.</summary>
    public DistillationRecipe? Distillation { get; init; }

    /// <summary>SHA-256 of <see cref="ToCanonicalJson"/>, 64 lower-case hexadecimal digits.</summary>
    public string Digest => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(ToCanonicalJson())));

    /// <summary>Whether a group's levels are a step and a minimum rather than N free scales. A target of one symmetric basis has the same freedom as any.</summary>
    public bool IsOnGrid => Target is not null && Target.Minimum != GridMinimum.Symmetric;

    /// <summary>Whether this is a method to compare with, on a grid of 2^N levels, rather than QBB.</summary>
    public bool IsRounding => Init.IsRounding() && Refinement == Refinement.None;

    /// <summary>Whether the result of such a method is what QBB starts from, in place of a start of its own.</summary>
    public bool IsFromRounding => Init.IsRounding() && Refinement == Refinement.Alternating;

    /// <summary>Whether errors of the outputs can be taken into account.</summary>
    public bool TakesCalibration => Refinement == Refinement.Alternating || Init.NeedsInputs();

    /// <summary>The same choices under a target's grid, which has bases, group and bias of its own, or leaves them to the recipe and has plain embeddings.</summary>
    public Recipe For(Target target) => target.Widths is null
        ? this with { Target = target, Bases = target.Bases, Group = target.Group, Bias = target.Bias }
        : this with { Target = target, Embedding = EmbeddingForm.Bits16 };

    private bool IsGradient => Refinement is Refinement.Gradient or Refinement.Simultaneous;

    /// <summary>The same recipe with every choice that applies spelled out and every other null.</summary>
    /// <exception cref="InvalidInputException">Choices are out of range or contradict one another; the message lists all of
    /// them.</exception>
    public Recipe Resolve()
    {
        Refuse([.. Problems()]);
        int? rounds = Refinement == Refinement.None || IsFromRounding ? null : Rounds ?? 15;
        return this with
        {
            Bases = BasesPerLayer?.Most ?? Bases,
            Rounds = rounds,
            Starts = Refinement != Refinement.Alternating || IsOnGrid ? null
                : Starts ?? (Init == Init.Cascaded && rounds > 0 ? Recipes.Starts.Both : Recipes.Starts.Greedy),
            Steps = IsGradient ? Steps ?? 20 : null,
            LearningRate = IsGradient ? LearningRate ?? 0.03 : null,
            Distillation = Distillation?.Resolve(),
        };
    }

    /// <summary>The resolved recipe as JSON with sorted keys, no white space and invariant numbers; what recipe.json holds.</summary>
    public string ToCanonicalJson() => RecipeJson.Write(Resolve());

    /// <summary>The choices as they were given, for messages.</summary>
    public override string ToString() => RecipeJson.Write(this);

    /// <summary>Reads a recipe.json: what <see cref="ToCanonicalJson"/> wrote, in any layout, or the recipe of a pipeline.</summary>
    /// <exception cref="InvalidInputException">It cannot be used; the message lists everything that is wrong.</exception>
    public static Recipe FromJson(string json) => QuantizationRecipe.Parse(json).Recipe;

    /// <summary>Reads the part <c>decomposition</c> alone; members may be missing.</summary>
    /// <exception cref="InvalidInputException">The text is not a JSON object, or it has unknown members or values, or values that are out of range or
    /// contradict one another; the message lists everything that is wrong.</exception>
    public static Recipe FromPart(string json)
    {
        var problems = new List<string>();
        var recipe = RecipeJson.Read(json, problems);
        Refuse([.. problems, .. recipe.Problems()]);
        return recipe.Resolve();
    }

    internal static string SignsOf(Target target) => $"target {target} has a level that no weight may take, which trained signs would not spare: leave out signRate";

    private static void Refuse(IReadOnlyCollection<string> problems)
    {
        if (problems.Count > 0)
            throw new InvalidInputException("the recipe cannot be used: " + string.Join("; ", problems));
    }

    internal IEnumerable<string> Problems()
    {
        if (Init == Init.Awq && Refinement != Refinement.None)
            yield return "init is awq, which is not refined: set refinement to none";
        else if (Init.IsRounding() && Refinement != Refinement.None && !(IsFromRounding && Importance == Importance.Full))
            yield return $"init is {RecipeJson.Name(Init)}, which is refined for the layers' outputs only: set refinement to none, or to alternating with importance full";
        if (Rounds is not null && IsFromRounding)
            yield return $"rounds is set, but refinement from init {RecipeJson.Name(Init)} has a fixed number: leave it out";
        if (Init.IsRounding() && !Bias)
            yield return $"init is {RecipeJson.Name(Init)}, whose zero point needs a bias: set bias to true";
        if (Init.NeedsInputs() && Importance != Importance.Full)
            yield return $"init is {RecipeJson.Name(Init)}, which goes by the layers' inputs: set importance to full";
        if (Init == Init.Awq && (Bits is not null || BasesPerLayer is not null))
            yield return "init is awq, whose scales belong to all layers of one input: leave out bits and basesPerLayer";
        if (Bases is < 1 or > MostBases)
            yield return $"bases is {Bases}, it must be 1 to {MostBases}";
        if (Group < 1)
            yield return $"group is {Group}, it must be at least 1 (or \"row\" for one scale a row)";
        if (!Enum.IsDefined(Init) || !Enum.IsDefined(Refinement) || !Enum.IsDefined(Importance) || Starts is { } starts && !Enum.IsDefined(starts))
            yield return "init, refinement, importance and starts must be named values";
        if (!Enum.IsDefined(Embedding))
            yield return $"embedding is {(int)Embedding}, it must be 4, 6, 8, 16 or bases";
        if (Embedding == EmbeddingForm.Bases && Nested)
            yield return "embedding is bases and nested is set: the smaller models share one embedding; choose 4, 6, 8 or 16 bits";
        if (Rounds is < 0 or > 10_000)
            yield return $"rounds is {Rounds}, it must be 0 to 10000";
        if (Rounds is not null && Refinement == Refinement.None)
            yield return "rounds is set, but with refinement none nothing is refined";
        if (Rounds == 0 && IsGradient)
            yield return "rounds is 0 but a gradient refinement needs at least 1 pass";
        if (Starts is not null && Refinement != Refinement.Alternating)
            yield return "starts is set but only alternating refinement has starting points";
        if (Starts is Recipes.Starts.Uniform or Recipes.Starts.Both && Rounds == 0)
            yield return "a uniform start is set with 0 rounds, which leaves the signs as they are";
        if (Starts is Recipes.Starts.Uniform or Recipes.Starts.Both && Init != Init.Cascaded)
            yield return "a uniform start is set together with an init other than cascaded; use starts greedy to study that init";
        if (Steps is < 1 or > 100_000)
            yield return $"steps is {Steps}, it must be 1 to 100000";
        if (Steps is not null && !IsGradient)
            yield return "steps is set but the refinement takes no gradient steps";
        if (Importance != Importance.None && !TakesCalibration)
            yield return $"importance is set but only alternating refinement and init {string.Join(", ", Enum.GetValues<Init>().Where(init => init.NeedsInputs()).Select(RecipeJson.Name))} take it into account";
        if (Bits is { } bits && !(bits > 0 && double.IsFinite(bits)))
            yield return $"bits is {bits}, it must be positive";
        if (Nested && (Bits is not null || BasesPerLayer is not null))
            yield return "nested and bits do not go together: a nested model has the same bases in every layer";
        if (Nested && Bases < 2)
            yield return "nested is set but bases is 1, which holds no smaller model";
        if (Nested && (Refinement != Refinement.Alternating || Init != Init.Cascaded || Rounds == 0))
            yield return "nested needs alternating refinement of at least 1 round from the cascaded init";
        foreach (var name in Exports?.Names ?? [])
        {
            if (!Target.Exports.Contains(name))
                yield return $"exports has {name}; known are {string.Join(", ", Target.Exports)}";
            else if (!Target.Holds(name, this))
                yield return $"exports has {name}, which does not hold levels of {(Target is null ? "no target" : $"target {Target} with {Bases} bases")}: set target to {(name is "gptq-v2" or "awq" ? "gptq" : name)}, or take it out";
        }
        foreach (var problem in Target is null ? [] : ProblemsWith(Target))
            yield return problem;
        if (LearningRate is { } rate && (!double.IsFinite(rate) || rate <= 0))
            yield return $"learningRate is {rate}, it must be positive";
        if (LearningRate is not null && !IsGradient)
            yield return "learningRate is set but the refinement takes no gradient steps";
    }

    private IEnumerable<string> ProblemsWith(Target target)
    {
        if (target.Widths is { } widths && !widths.Contains(Bases))
            yield return $"bases is {Bases}, and target {target} has {string.Join(", ", widths)}";
        if (target.Widths is null && (Bases != target.Bases || Group != target.Group || Bias != target.Bias))
            yield return $"target {target} has {target.Bases} bases in groups of {target.Group} {(target.Bias ? "with" : "without")} a bias: leave out bases, group and bias";
        if (Init != Init.Cascaded || Refinement != Refinement.Alternating || Rounds == 0)
            yield return $"target {target} needs alternating refinement of at least 1 round from the cascaded init";
        if (Starts is not null && IsOnGrid)
            yield return $"starts is set but target {target} has starting points of its own";
        if (Nested || Bits is not null || BasesPerLayer is not null)
            yield return $"target {target} has the same bases in every layer: leave out nested, bits and basesPerLayer";
        if (target.Widths is not null && Embedding != EmbeddingForm.Bits16)
            yield return $"target {target} stores embedding and head in 16 bits: set embedding to 16";
        else if (Embedding is not (EmbeddingForm.Bits8 or EmbeddingForm.Bits16))
            yield return $"target {target} stores embedding and head in 8 or 16 bits: set embedding to 8 or 16";
        if (Distillation?.SignRate is not null && target.LeastLevel > 0)
            yield return SignsOf(target);
    }
}

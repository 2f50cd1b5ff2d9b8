namespace Qbb.Recipes;

/// <summary>
/// A format of other programs whose grid the levels of the layers are restricted to, so that it holds the result bit for bit: level
/// q = 0 … 2^N − 1 of a group is minimum + q·step, step and minimum being numbers of fp16.
/// </summary>
/// <param name="Name">As in recipes and on the command line.</param>
/// <param name="Bases">N.</param>
/// <param name="Group">g.</param>
/// <param name="Minimum">What the minimum is.</param>
public sealed record Target(string Name, int Bases, int Group, GridMinimum Minimum)
{
    /// <summary>Columns that share a scale in an embedding or head of integers: those of Q8_0.</summary>
    public const int EmbeddingGroup = 32;

    private static readonly int[] s_widths = [2, 3, 4, 8];

    /// <summary>All that are known.</summary>
    public static IReadOnlyList<Target> All { get; } =
    [
        new("gguf-q4_1", 4, 32, GridMinimum.Free),
        new("gguf-q4_0", 4, 32, GridMinimum.Steps(-8)),
        new("gguf-q5_1", 5, 32, GridMinimum.Free),
        // q − 128 is an int8 of −127 to 127, as llama.cpp's quantizer and kernels have it.
        new("gguf-q8_0", 8, 32, GridMinimum.Steps(-128)) { LeastLevel = 1 },
        // ±d alone: one basis without bias.
        new("gguf-q1_0", 1, 128, GridMinimum.Symmetric),
        new("gguf-q2_0", 2, 64, GridMinimum.Steps(-1)),
        // Less 1 a zero point must fit its field; that of 0 would borrow from its neighbour's, which not every reader of version 1 knows.
        new("gptq", 4, 128, GridMinimum.ZeroPoints(1, 1, 15)) { Widths = s_widths },
        new("compressed-tensors", 4, 128, GridMinimum.ZeroPoints(1, 0, 15)) { Widths = s_widths },
        // Fractions of 2^(10 − N): then q − zero is a number of fp16, and a weight is rounded once.
        new("hqq", 4, 128, GridMinimum.ZeroPoints(64, -16, 32)) { Widths = s_widths },
    ];

    /// <summary>What a recipe may have exported with its result: formats of full-size weights, of a grid, and others of the same grid.</summary>
    public static IReadOnlyList<string> Exports { get; } = ["gguf-f16", "gguf-f32", .. All.Select(target => target.Name), "gptq-v2", "awq"];

    /// <summary>Whether results of a target are held by a format of <see cref="Exports"/>.</summary>
    public static bool Holds(string export, Recipe recipe) => export is "gguf-f16" or "gguf-f32" || export == recipe.Target?.Name
        || recipe.Target?.Name == "gptq" && (export is "gptq-v2" or "compressed-tensors" or "hqq" || export == "awq" && recipe.Bases == 4)
        || recipe.Target?.Name == "compressed-tensors" && (export is "gptq-v2" or "hqq" || export == "awq" && recipe.Bases == 4);

    /// <summary>The lowest q that is used.</summary>
    public int LeastLevel { get; private init; }

    /// <summary>Where the recipe decides N, g and whether groups have zero points of their own (its bias): what N may be. Null where the format has one of each.</summary>
    public IReadOnlyList<int>? Widths { get; private init; }

    /// <summary>The target with what the recipe decides.</summary>
    public Target At(Recipe recipe)
    {
        if (Widths is null)
            return this;
        var (bases, zeros) = (recipe.Bases, Minimum.Zeros!);
        return this with
        {
            Bases = bases,
            Group = recipe.Group ?? 0,
            // Without a bias the zero point is in the middle.
            Minimum = !recipe.Bias ? GridMinimum.Steps(-(1 << (bases - 1)))
                : zeros.Parts == 1 ? GridMinimum.ZeroPoints(1, zeros.Least, (1 << bases) - 1) : GridMinimum.ZeroPoints(1 << (10 - bases), -(1 << bases), 2 << bases),
        };
    }

    /// <summary>The recipe with the largest group of those that divide all rows: its own, 128, 64 or 32. The same recipe where nothing is to be changed.</summary>
    /// <param name="recipe">With a target.</param>
    /// <param name="inFeatures">Weights of the layers' rows.</param>
    /// <exception cref="InvalidInputException">None divides them.</exception>
    public static Recipe FitGroup(Recipe recipe, IReadOnlyCollection<int> inFeatures)
    {
        if (recipe.Target?.Widths is null || recipe.Group is not { } group || inFeatures.All(count => count % group == 0))
            return recipe;
        var fitting = new[] { 128, 64, 32 }.Where(smaller => smaller < group && inFeatures.All(count => count % smaller == 0)).ToList();
        return fitting.Count > 0 ? recipe with { Group = fitting[0] }
            : throw new InvalidInputException($"rows of {inFeatures.First(count => count % group != 0)} weights do not divide into groups of {(group is 128 or 64 or 32 ? "" : $"{group}, ")}128, 64 or 32, and {recipe.Target} has whole groups only", "use --group row");
    }

    /// <summary>Whether groups have a bias.</summary>
    public bool Bias => Minimum != GridMinimum.Symmetric;

    /// <summary>The type of the format's tensors, such as Q4_1.</summary>
    public string TypeName => Name[(Name.IndexOf('-') + 1)..].ToUpperInvariant();

    /// <summary>The target of a name.</summary>
    /// <exception cref="FormatException">There is none; the message says which are known.</exception>
    public static Target Parse(string? name) => All.FirstOrDefault(target => target.Name == name)
        ?? throw new FormatException($"known are {string.Join(", ", All.Select(target => target.Name))}");

    /// <summary>Refuses a layer whose rows the format cannot hold.</summary>
    /// <exception cref="InvalidInputException">They are no whole number of groups; the message names the layer and the targets that hold it.</exception>
    public void CheckRows(string weight, int inFeatures)
    {
        if (Group == 0 || inFeatures % Group == 0)
            return;
        var others = All.Where(other => other.Widths is null && inFeatures % other.Group == 0).Select(other => other.Name).ToList();
        throw new InvalidInputException(
            $"{weight} has rows of {inFeatures} weights, which {Name} cannot hold: its blocks are of {Group} weights",
            others.Count == 0 ? "quantize without --target" : $"use --target {string.Join(" or ", others)}");
    }

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>The lowest level of a grid's groups.</summary>
/// <param name="InSteps">Where it is a multiple of the step, that multiple.</param>
/// <param name="IsFree">Whether every group has its own.</param>
/// <param name="Zeros">Where it is −zero·step, what a zero point may be.</param>
public sealed record GridMinimum(int? InSteps, bool IsFree, ZeroRange? Zeros = null)
{
    /// <summary>Every group has its own.</summary>
    public static GridMinimum Free { get; } = new(null, true);

    /// <summary>Levels lie about 0.</summary>
    public static GridMinimum Symmetric { get; } = new(null, false);

    /// <summary>A multiple of the step.</summary>
    public static GridMinimum Steps(int count) => new(count, false);

    /// <summary>Every group has a zero point.</summary>
    public static GridMinimum ZeroPoints(int parts, int least, int most) => new(null, true, new(parts, least, most));
}

/// <summary>Formats that a result is exported to as well, in ordinal order.</summary>
public sealed record ExportFormats
{
    private readonly string _names;

    /// <param name="names">Of <see cref="Target.Exports"/>.</param>
    public ExportFormats(IEnumerable<string> names) => _names = string.Join(',', names.Distinct().Order(StringComparer.Ordinal));

    /// <summary>Their names.</summary>
    public IReadOnlyList<string> Names => _names.Split(',', StringSplitOptions.RemoveEmptyEntries);

    /// <inheritdoc/>
    public override string ToString() => _names;
}

/// <summary>Zero points that a format has: multiples of 1/Parts.</summary>
/// <param name="Parts">1 for whole numbers.</param>
/// <param name="Least">The least.</param>
/// <param name="Most">The largest.</param>
public sealed record ZeroRange(int Parts, int Least, int Most);

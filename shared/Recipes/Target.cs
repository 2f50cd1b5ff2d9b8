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
    ];

    /// <summary>The lowest q that is used.</summary>
    public int LeastLevel { get; private init; }

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
        if (inFeatures % Group == 0)
            return;
        var others = All.Where(other => inFeatures % other.Group == 0).Select(other => other.Name).ToList();
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
public sealed record GridMinimum(int? InSteps, bool IsFree)
{
    /// <summary>Every group has its own.</summary>
    public static GridMinimum Free { get; } = new(null, true);

    /// <summary>Levels lie about 0.</summary>
    public static GridMinimum Symmetric { get; } = new(null, false);

    /// <summary>A multiple of the step.</summary>
    public static GridMinimum Steps(int count) => new(count, false);
}

namespace Qbb.Recipes;

/// <summary>How the token embedding and a head of its own are stored; the values other than <see cref="Bases"/> are bits of a weight.</summary>
public enum EmbeddingForm
{
    /// <summary>As binary bases: N, group and bias of the layers, from the weights alone.</summary>
    Bases = 0,

    /// <summary>Integers of 4 bits with a scale per group.</summary>
    Bits4 = 4,

    /// <summary>Integers of 6 bits with a scale per group.</summary>
    Bits6 = 6,

    /// <summary>Integers of 8 bits with a scale per group.</summary>
    Bits8 = 8,

    /// <summary>16-bit floats, as in the base model.</summary>
    Bits16 = 16,
}

/// <summary>Bytes that a matrix [rows, columns] takes in each stored form, scales included.</summary>
public static class StoredBytes
{
    /// <summary>Sums of binary matrices.</summary>
    public static long Bases(long rows, long columns, int bases, int? group, bool bias) =>
        rows * (4L * bases * ((columns + 31) / 32) + 2 * Groups(columns, group ?? columns) * (bases + (bias ? 1 : 0)));

    /// <summary>A layer as a recipe has it: on a grid a step, and where it is free a minimum, in place of N scales and a bias.</summary>
    public static long Layer(long rows, long columns, Recipe recipe) => recipe.IsOnGrid
        ? rows * (4L * recipe.Bases * ((columns + 31) / 32) + 2 * Groups(columns, recipe.Group ?? columns) * (recipe.Target!.At(recipe).Minimum.IsFree ? 2 : 1))
        : Bases(rows, columns, recipe.Bases, recipe.Group, recipe.Bias);

    /// <summary>Integers with a scale per group; a row begins at a byte.</summary>
    public static long Integers(long rows, long columns, int bits, int group) => rows * ((columns * bits + 7) / 8 + 2 * Groups(columns, group));

    /// <summary>An embedding or head as a recipe has it.</summary>
    public static long Embedding(long rows, long columns, Recipe recipe) => recipe.Embedding switch
    {
        EmbeddingForm.Bases => Bases(rows, columns, recipe.Bases, recipe.Group, recipe.Bias),
        EmbeddingForm.Bits16 => 2 * rows * columns,
        var form => Integers(rows, columns, (int)form, recipe.EmbeddingGroup),
    };

    private static long Groups(long columns, long group) => (columns + group - 1) / group;
}

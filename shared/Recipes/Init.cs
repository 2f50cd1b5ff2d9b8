namespace Qbb.Recipes;

/// <summary>Where the signs start from.</summary>
public enum Init
{
    /// <summary>Each basis is the sign of what the bases before it left over (equations 2 and 3 of the QBB paper).</summary>
    Cascaded,

    /// <summary>Seeded coin flips; the scales by least squares.</summary>
    Random,

    /// <summary>
    /// Each basis is the sign of the weight itself: the first as it is, every further one after Gaussian noise of the group's own
    /// root mean square was added; the scales by least squares.
    /// </summary>
    NonCascaded,

    /// <summary>The grid of round to nearest, as bases and a bias. Without refinement a method of its own to compare with.</summary>
    Rtn,

    /// <summary>The same with ranges that shrink where that lowers the squared error.</summary>
    RtnClip,

    /// <summary>
    /// GPTQ: the grid of round to nearest, and columns by falling importance, each making up for the errors of those before it. Without
    /// refinement a method to compare with. Needs calibration data.
    /// </summary>
    Gptq,

    /// <summary>
    /// AWQ: round to nearest of weights that are multiplied, input by input, by a power of the inputs' mean size; the operation before
    /// divides by it. A method to compare with, like <see cref="Gptq"/>.
    /// </summary>
    Awq,

    /// <summary>
    /// OmniQuant's learnable weight clipping: the grid of round to nearest, its ranges trained for least error of the layer's outputs. A
    /// method to compare with, like <see cref="Gptq"/>.
    /// </summary>
    Omniquant,
}

/// <summary>What an init stands for.</summary>
public static class InitExtensions
{
    /// <summary>Whether it is, without refinement, a method to compare with, on a grid of 2^N levels.</summary>
    public static bool IsRounding(this Init init) => init is Init.Rtn or Init.RtnClip || init.NeedsInputs();

    /// <summary>Whether it goes by the layers' inputs, and so needs data.</summary>
    public static bool NeedsInputs(this Init init) => init is Init.Gptq or Init.Awq or Init.Omniquant;

    /// <summary>As recipes and options spell it.</summary>
    public static string ToName(this Init init) => RecipeJson.Name(init);
}

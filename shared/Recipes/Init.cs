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

    /// <summary>The grid of round to nearest, as bases and a bias. A method of its own to compare with: without refinement.</summary>
    Rtn,

    /// <summary>The same with ranges that shrink where that lowers the squared error.</summary>
    RtnClip,

    /// <summary>
    /// GPTQ: the grid of round to nearest, and columns by falling importance, each making up for the errors of those before it. A method
    /// to compare with: without refinement, with calibration data.
    /// </summary>
    Gptq,
}

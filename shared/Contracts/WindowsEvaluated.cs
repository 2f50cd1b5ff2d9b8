namespace Qbb.Contracts;

/// <summary>
/// Event: some windows are scored. Sums are over positions, natural logarithms; all units' sums added up give perplexity =
/// exp(CrossEntropy/Positions), KL = Divergence/Positions, agreement = Agreements/Positions.
/// </summary>
/// <param name="PipelineId">Who asked.</param>
/// <param name="Unit">Of the command.</param>
/// <param name="Result">Manifest of score.json.</param>
/// <param name="Units">Units of the whole stage.</param>
/// <param name="Size">What every unit but the last holds: to be named in the commands of the others.</param>
/// <param name="Context">Tokens of a window.</param>
/// <param name="Windows">Windows of this unit.</param>
/// <param name="Positions">Scored positions of this unit.</param>
/// <param name="CrossEntropy">Sum of −log p(next token) of the student.</param>
/// <param name="TeacherCrossEntropy">The same of the teacher.</param>
/// <param name="Divergence">Sum of KL(teacher ‖ student).</param>
/// <param name="Agreements">Positions where both have the same most likely token.</param>
/// <param name="EffectiveBitsPerWeight">Of the student's quantized layers.</param>
/// <param name="Bytes">Bytes of all files that running the student needs.</param>
/// <param name="BitsPerParameter">Bits of those files for each parameter.</param>
public sealed record WindowsEvaluated(
    Guid PipelineId, Digest Unit, Digest Result, int Units, int Size, int Context, int Windows, long Positions, double CrossEntropy,
    double TeacherCrossEntropy, double Divergence, long Agreements, double EffectiveBitsPerWeight, long Bytes, double? BitsPerParameter = null);

using Qbb.Cli.Loading;
using Qbb.Recipes;
using Qbb.Synthdata.Filtering;
using Qbb.Synthdata.Sampling;

namespace Qbb.Cli.Distilling;

/// <summary>All that <c>qbb quantize --distill</c> does behind the decomposition.</summary>
/// <param name="Sequences">Sequences to sample from the teacher.</param>
/// <param name="Length">Tokens of a sequence; null for 512, or the model's longest context if that is shorter.</param>
/// <param name="Keep">Share of them to keep, those of the largest discrepancy.</param>
/// <param name="Distillation">How the scales are trained.</param>
/// <param name="Device">Where.</param>
/// <param name="Type">Type to calculate in.</param>
/// <param name="AllowLong">Whether sequences may be longer than the model's context length.</param>
internal sealed record DistillationPlan(int Sequences, int? Length, double Keep, DistillationRecipe Distillation, Device Device, ScalarType Type, bool AllowLong)
{
    private const int UsualLength = 512;

    /// <exception cref="InvalidInputException">The sequences are longer than the model's context length.</exception>
    public SamplingOptions Sampling(int mostPositions) => new()
    {
        Sequences = Sequences,
        Length = ModelLimits.Context("--length", Length, UsualLength, mostPositions, AllowLong),
        Seed = (ulong)Distillation.Seed,
    };

    public FilterOptions Filter => new() { Keep = Keep };

    /// <summary>Whether any sequence is left out.</summary>
    public bool Filters => Keep < 1;
}

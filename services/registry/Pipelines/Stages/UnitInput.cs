using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Pipelines.Stages;

/// <summary>What a unit's command is made of.</summary>
/// <param name="Pipeline">The state.</param>
/// <param name="Recipe">Digests of its recipe's parts.</param>
/// <param name="Index">The unit, from 0.</param>
/// <param name="Parts">Results of the kind that <see cref="UnitStage.PartsOf"/> names, in order.</param>
internal sealed record UnitInput(Pipeline Pipeline, RecipeParts Recipe, int Index, IReadOnlyList<Digest> Parts)
{
    public Guid Id => Pipeline.Id;

    public int Epoch => Pipeline.Epoch;

    public Digest Model => Digest.Parse(Pipeline.Model);

    /// <summary>Null for the first unit, which finds out what fits its time.</summary>
    public int? Size => Index == 0 ? null : Pipeline.UnitSize;

    public Digest Student => Digest.Parse(Pipeline.Student);

    public Digest Data => Digest.Parse(Pipeline.Data);

    /// <summary>The data to decompose by, where the recipe takes any.</summary>
    public Digest? Calibration => Pipeline.Route.Calibrated ? Data : null;

    public Digest Filtered => Digest.Parse(Pipeline.Filtered);

    public Digest? Checkpoint => Pipeline.Checkpoint is { } last ? Digest.Parse(last) : null;

    public Digest? Windows => Pipeline.Windows is { } sampled ? Digest.Parse(sampled) : null;

    public Digest Artifact => Digest.Parse(Pipeline.Artifact);
}

/// <summary>The digests by which commands name the parts of a recipe.</summary>
internal sealed class RecipeParts(PipelineRecipe recipe)
{
    private readonly Dictionary<string, Digest> _parts = recipe.Parts().ToDictionary(part => part.Name, part => PipelineRecipe.DigestOf(part.Part));

    /// <summary>The type to calculate in.</summary>
    public Precision Type { get; } = recipe.NamedType ?? Precision.F32;

    public Digest Decomposition => Of("decomposition");

    public Digest Sampling => Of("sampling");

    public Digest Filter => Of("filter");

    public Digest Distillation => Of("distillation");

    public Digest Evaluation => Of("evaluation");

    private Digest Of(string part) => _parts.TryGetValue(part, out var digest) ? digest
        : throw new InvalidOperationException($"the recipe has no part {part}, which the current stage needs");
}

/// <summary>What a worker says about a unit: what it made, or why it failed.</summary>
/// <param name="Pipeline">Whose.</param>
/// <param name="Unit">Digest of the command.</param>
/// <param name="Outcome">Null of one that failed.</param>
/// <param name="Failure">For people.</param>
/// <param name="Kind">What the failure means for further attempts.</param>
internal sealed record UnitMessage(Guid Pipeline, Digest Unit, UnitOutcome? Outcome, string? Failure = null, FailureKind Kind = FailureKind.Unknown);

/// <summary>The result of a unit.</summary>
/// <param name="Result">Its manifest.</param>
internal sealed record UnitOutcome(string Result)
{
    public UnitOutcome(Digest result)
        : this(result.Value)
    {
    }

    /// <summary>Units of its kind altogether (steps, of a distillation); null for kinds of one unit.</summary>
    public int? Units { get; init; }

    /// <summary>What each unit of its kind holds.</summary>
    public int? Size { get; init; }

    /// <summary>A unit of its kind needs the results of those before it.</summary>
    public bool Chained { get; init; }

    /// <summary>Steps that a distillation has done.</summary>
    public int Step { get; init; }

    /// <summary>It was there already, from an earlier pipeline or attempt, and cost no time.</summary>
    public bool Found { get; init; }

    /// <summary>What calculated it, as the worker describes itself.</summary>
    public string? Environment { get; init; }

    /// <summary>What it took the worker; null where it was found, or the worker does not say.</summary>
    public double? Seconds { get; init; }

    /// <summary>It was the last round of a distillation, and its result is the model.</summary>
    public bool Finished { get; init; }

    /// <summary>What people should know of the result; null for nothing.</summary>
    public string? Note { get; init; }

    public UnitReport? Report { get; init; }
}

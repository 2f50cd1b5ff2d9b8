namespace Qbb.Registry.Pipelines.Machine;

/// <summary>What came of a unit.</summary>
/// <param name="Result">Manifest of what it made.</param>
internal sealed record UnitOutcome(string Result)
{
    /// <summary>Units of its kind altogether (steps, of a distillation); null for kinds of one unit.</summary>
    public int? Units { get; init; }

    /// <summary>What each unit of its kind holds.</summary>
    public int? Size { get; init; }

    /// <summary>A unit of its kind needs the results of those before it.</summary>
    public bool Chained { get; init; }

    /// <summary>Steps that a distillation has done.</summary>
    public int Step { get; init; }

    /// <summary>It was the last round of a distillation, and its result is the model.</summary>
    public bool Finished { get; init; }

    public UnitReport? Report { get; init; }
}

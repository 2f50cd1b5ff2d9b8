using System.Diagnostics;
using Qbb.Artifacts;
using Qbb.Workers.Units;

namespace Qbb.Cli.Verifying;

internal enum UnitVerdict
{
    /// <summary>Bit by bit the same.</summary>
    Identical,

    /// <summary>Calculated elsewhere: other bits, and the objective is within the tolerance.</summary>
    WithinTolerance,

    /// <summary>It cannot be calculated again, or not be compared; the detail says why.</summary>
    Skipped,

    Different,
}

/// <summary>A unit that was calculated again.</summary>
/// <param name="Name">Such as decompose/2.</param>
/// <param name="Of">Units of its kind.</param>
/// <param name="Verdict">How the results compare.</param>
/// <param name="Detail">What a person should know.</param>
/// <param name="Seconds">What it took.</param>
internal sealed record VerifiedUnit(string Name, int Of, UnitVerdict Verdict, string Detail, double Seconds);

/// <summary>Checks a version against its statement: every file is read, and a random unit of each kind calculated again.</summary>
/// <param name="statement">Of the version.</param>
/// <param name="blobs">The registry's.</param>
/// <param name="environment">Of this process, as workers describe theirs.</param>
internal sealed class Verifier(Statement statement, FetchedBlobs blobs, WorkerEnvironment environment)
{
    /// <summary>The share by which the objective may differ between devices.</summary>
    public const double Tolerance = 0.01;

    /// <summary>The files that are not what the statement says, with the reason.</summary>
    public async Task<IReadOnlyList<string>> FilesAsync(Action<int, string> report, CancellationToken cancel)
    {
        var problems = new List<string>();
        foreach (var (index, (name, digest)) in statement.Files.Index())
        {
            report(index, name);
            if (await ProblemOfAsync(digest, cancel) is { } problem)
                problems.Add($"{name}: {problem}");
        }
        return problems;
    }

    /// <summary>One unit of each kind, drawn at random.</summary>
    public IReadOnlyList<(StatedUnit Unit, int Of)> Draw(int seed)
    {
        var random = new Random(seed);
        return [.. statement.Units.GroupBy(unit => unit.Notes.Kind).Select(kind => (kind.ElementAt(random.Next(kind.Count())), kind.Count()))];
    }

    public async Task<VerifiedUnit> RunAsync(UnitWorks works, StatedUnit unit, int of, CancellationToken cancel)
    {
        var watch = Stopwatch.StartNew();
        var (verdict, detail) = await CompareAsync(works, unit, cancel);
        return new VerifiedUnit(unit.Name, of, verdict, detail, watch.Elapsed.TotalSeconds);
    }

    private async Task<(UnitVerdict Verdict, string Detail)> CompareAsync(UnitWorks works, StatedUnit unit, CancellationToken cancel)
    {
        if (unit.Command is null)
            return (UnitVerdict.Skipped, "the registry did not keep its command");
        try
        {
            foreach (var part in statement.Recipe!.Parts())
                await blobs.PutAsync(new MemoryStream(System.Text.Encoding.UTF8.GetBytes(CanonicalJson.Write(part.Part))), PipelineRecipe.DigestOf(part.Part), cancel);
            var again = await works.RunAsync(unit, StepsOf(unit), cancel);
            if (again.Result == unit.Result)
                return (UnitVerdict.Identical, $"same digest {unit.Result.Value[..12]}");
            var stated = UnitWorks.ObjectiveOf(unit.Notes.Report);
            var compared = stated is { } before && again.Objective is { } now ? $": objective {now:g6}, stated {before:g6}" : "";
            if (WorkerEnvironment.Parse(unit.Notes.Environment) == environment)
                return (UnitVerdict.Different, $"digest {again.Result.Value[..12]}, stated {unit.Result.Value[..12]}{compared}");
            if (compared.Length == 0)
                return (UnitVerdict.Skipped, $"calculated on {unit.Notes.Environment ?? "an unknown machine"}: not comparable on {environment}");
            return (Math.Abs(again.Objective!.Value - stated!.Value) <= Tolerance * Math.Abs(stated.Value) ? UnitVerdict.WithinTolerance : UnitVerdict.Different,
                $"calculated on {unit.Notes.Environment ?? "an unknown machine"}, here on {environment}{compared}");
        }
        catch (BlobNotFoundException gone)
        {
            return (UnitVerdict.Skipped, $"the registry no longer has its input {gone.Digest}");
        }
        catch (ArtifactStoreException error)
        {
            return (UnitVerdict.Different, error.Message);
        }
    }

    /// <summary>A round of distillation ended by the clock: the statement says after which step.</summary>
    private int? StepsOf(StatedUnit unit) => unit.Command is not DistillRound ? null : StepOf(unit)
        - StepOf(statement.Units.FirstOrDefault(other => other.Notes.Kind == unit.Notes.Kind && other.Notes.Index == unit.Notes.Index - 1));

    private static int StepOf(StatedUnit? unit) => (int?)unit?.Notes.Report?["step"] ?? 0;

    private async Task<string?> ProblemOfAsync(Digest digest, CancellationToken cancel)
    {
        try
        {
            await using var stream = await blobs.OpenReadAsync(digest, cancellation: cancel);
            return null;
        }
        catch (ArtifactStoreException error)
        {
            return error.Message;
        }
    }
}

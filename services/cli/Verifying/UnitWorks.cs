using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Evaluator.Work;
using Qbb.Quantizer.Work;
using Qbb.Synthdata.Work;
using Qbb.Workers;
using Qbb.Workers.Models;

namespace Qbb.Cli.Verifying;

/// <summary>The result of recalculating a unit.</summary>
/// <param name="Result">Digest of its files.</param>
/// <param name="Objective">What two devices should agree on within a tolerance; null where there is no such number.</param>
internal sealed record Recalculated(Digest Result, double? Objective);

/// <summary>Calculates units in this process, by the code of the workers.</summary>
internal sealed class UnitWorks : IDisposable
{
    private readonly ServiceProvider _services;

    /// <param name="blobs">Where their inputs come from.</param>
    /// <param name="folder">For work; the results' files are in the store.</param>
    /// <param name="device">Where to calculate.</param>
    /// <param name="threads">On a CPU; 0 for all cores.</param>
    public UnitWorks(FetchedBlobs blobs, string folder, string device, int threads) => _services = new ServiceCollection()
        .AddLogging()
        .AddSingleton(Options.Create(new WorkerOptions { Folder = folder, Device = device, Threads = threads }))
        .AddSingleton<IArtifactStore>(blobs).AddSingleton<ILocalBlobs>(blobs).AddSingleton<IUnitResults>(new LocalUnitResults(blobs, folder))
        .AddSingleton<ModelFolders>().AddSingleton<WarmMemory>().AddSingleton<WarmModels>().AddSingleton<UnitActivations>()
        .AddSingleton<SamplingWork>().AddSingleton<FilterWork>().AddSingleton<DecompositionWork>().AddSingleton<DistillationWork>().AddSingleton<EvaluationWork>()
        .BuildServiceProvider();

    /// <summary>Calculates a unit.</summary>
    /// <param name="unit">With a command.</param>
    /// <param name="steps">Of a round of distillation: how many it is.</param>
    /// <param name="cancel">Stops.</param>
    public async Task<Recalculated> RunAsync(StatedUnit unit, int? steps, CancellationToken cancel)
    {
        // A first unit held what its time allowed; now it is to hold the same.
        var size = unit.Notes.Size;
        switch (unit.Command)
        {
            case SampleSequences command:
                return new((await Get<SamplingWork>().SampleAsync(command with { Size = command.Size ?? size }, cancel)).Result, null);
            case AssembleData command:
                return new((await Get<SamplingWork>().AssembleAsync(command, cancel)).Result, null);
            case DecomposeLayers command:
                var layers = await Get<DecompositionWork>().DecomposeAsync(command with { Size = command.Size ?? size }, cancel);
                return new(layers.Result, layers.RelativeError);
            case AssembleModel command:
                var model = await Get<DecompositionWork>().AssembleAsync(command, cancel);
                return new(model.Result, model.RelativeError);
            case ScoreSequences command:
                return new((await Get<FilterWork>().ScoreAsync(command with { Size = command.Size ?? size }, cancel)).Result, null);
            case FilterSequences command:
                return new((await Get<FilterWork>().FilterAsync(command, cancel)).Result, null);
            case DistillRound command:
                var round = await Get<DistillationWork>().RunAsync(command, cancel, steps);
                return new(round.Result, round.Kl);
            case EvaluateWindows command:
                var scored = await Get<EvaluationWork>().RunAsync(command with { Size = command.Size ?? size }, cancel);
                return new(scored.Result, scored.CrossEntropy / scored.Positions);
            default:
                throw new ArgumentException($"unknown command of {unit.Name}", nameof(unit));
        }
    }

    /// <summary>The number that the statement has in the place of <see cref="Recalculated.Objective"/>.</summary>
    public static double? ObjectiveOf(JsonObject? report) => (double?)report?["relativeError"] ?? (double?)report?["kl"]
        ?? (report?["sums"] is JsonObject sums ? (double?)sums["crossEntropy"] / (double?)sums["positions"] : null);

    public void Dispose() => _services.Dispose();

    private T Get<T>()
        where T : notnull => _services.GetRequiredService<T>();
}

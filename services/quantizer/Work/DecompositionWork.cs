using System.Diagnostics;
using MassTransit;
using Microsoft.Extensions.Options;
using Qbb.Models;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Recipes;
using Qbb.Workers;
using Qbb.Workers.Data;
using Qbb.Workers.Models;
using Qbb.Workers.Units;

namespace Qbb.Quantizer.Work;

/// <summary>Decomposes layers unit by unit, and puts them together as a model.</summary>
public sealed class DecompositionWork(ModelFolders folders, WarmMemory memory, UnitActivations activations, IOptions<WorkerOptions> worker)
{
    /// <summary>Blocks that calibration data went through, for whoever counts.</summary>
    public int BlockPasses { get; private set; }

    public async Task<LayersDecomposed> DecomposeAsync(DecomposeLayers command, CancellationToken cancellation)
    {
        var model = await folders.OpenAsync(command.Model, cancellation);
        var recipe = ModelQuantizer.Fit(Recipe.FromPart(await folders.ReadTextAsync(command.Decomposition, cancellation)), model);
        using var work = folders.NewFolder();
        using var sequences = await SequencesAsync(command.Data, cancellation);
        var calibration = CalibrationOn(sequences, command.Type);
        var start = calibration is null ? null : await activations.TakeAsync(command, (config, folder) => calibration.Load(config, folder), model, cancellation);
        // Where it starts in the middle of a block these are of interest, and where activations are lost all are.
        foreach (var part in command.Before)
            await folders.LayOutAsync(part, work.Path, cancellation);
        // Layers are read one by one: nothing that other stages left loaded is needed.
        memory.MakeRoom(start?.Bytes ?? 0);
        var unit = Quantize(command, recipe, model, calibration, start, work.Path, cancellation);
        BlockPasses += calibration?.BlockPasses ?? 0;
        using var done = folders.NewFolder();
        foreach (var file in unit.Files)
            File.Move(file, Path.Combine(done.Path, Path.GetFileName(file)));
        var result = await folders.StoreAsync(done, cancellation);
        if (unit.Activations is { } states)
            await activations.KeepAsync(command, result, states, isLast: command.Index == unit.Units - 1, cancellation);
        return new LayersDecomposed(command.PipelineId, command.Unit, result, unit.Units, unit.Size, unit.Chained, unit.RelativeError);
    }

    public async Task<ModelAssembled> AssembleAsync(AssembleModel command, CancellationToken cancellation)
    {
        var recipe = Recipe.FromPart(await folders.ReadTextAsync(command.Decomposition, cancellation));
        using var work = folders.NewFolder();
        var layers = Directory.CreateDirectory(Path.Combine(work.Path, "layers")).FullName;
        foreach (var part in command.Parts)
            await folders.LayOutAsync(part, layers, cancellation);
        using var sequences = await SequencesAsync(command.Data, cancellation);
        // A model whose configuration has no name is called after its folder.
        var named = Path.Combine(Directory.CreateDirectory(Path.Combine(work.Path, "model")).FullName, Path.GetFileName(command.Name));
        Directory.CreateSymbolicLink(named, await folders.OpenAsync(command.Model, cancellation));
        var output = Path.Combine(work.Path, "output");
        recipe = ModelQuantizer.Fit(recipe, named);
        var model = With(command.Model, recipe, CalibrationOn(sequences, null), quantizer => quantizer.Assemble(named, layers, output, cancellation));
        var result = await folders.StoreAsync(output, cancellation);
        return new ModelAssembled(
            command.PipelineId, command.Unit, result, model.RelativeError, model.EffectiveBitsPerWeight, model.Size.Bytes, model.Size.BitsPerParameter);
    }

    private QuantizedUnit Quantize(
        DecomposeLayers command, Recipe recipe, string model, CalibrationStream? calibration, Activations? start, string folder, CancellationToken cancellation)
    {
        var watch = Stopwatch.StartNew();
        return With(command.Model, recipe, calibration, quantizer => quantizer.RunUnit(
            model, new UnitRange(command.Index, command.Size), folder, start,
            isInBlock => watch.Elapsed.TotalSeconds < (isInBlock ? UnitPlan.PartOfBlock : worker.Value.UnitSeconds), cancellation));
    }

    private T With<T>(Digest model, Recipe recipe, CalibrationStream? calibration, Func<ModelQuantizer, T> run)
    {
        var method = LayerMethods.For(recipe, worker.Value.ReadDevice(), worker.Value.Threads);
        using var owned = method as IDisposable;
        return run(new ModelQuantizer(recipe, method, calibration: calibration) { DigestOf = (source, _) => folders.DigestOf(model, source) });
    }

    private async Task<SampledSequences?> SequencesAsync(Digest? data, CancellationToken cancellation) => data is { } manifest
        ? new SampledSequences(SampledTokens.Open(await folders.OpenAsync(manifest, cancellation), cancellation)) : null;

    private CalibrationStream? CalibrationOn(SampledSequences? sequences, Precision? type) => sequences is null ? null : new CalibrationStream(sequences, new CalibrationOptions
    {
        Sequences = Math.Min(sequences.Count, QuantizationPlan.MostCalibration),
        Device = worker.Value.ReadDevice(),
        DType = CalibrationOptions.TypeOn(worker.Value.ReadDevice(), type.ToScalarType()),
    });
}

/// <summary>Does <see cref="DecomposeLayers"/>.</summary>
public sealed class DecomposeLayersConsumer(UnitRunner runner, DecompositionWork work) : IConsumer<DecomposeLayers>
{
    public Task Consume(ConsumeContext<DecomposeLayers> context) => runner.RunAsync(
        context, (LayersDecomposed done) => done.Result, stop => work.DecomposeAsync(context.Message, stop));
}

/// <summary>Does <see cref="AssembleModel"/>.</summary>
public sealed class AssembleModelConsumer(UnitRunner runner, DecompositionWork work) : IConsumer<AssembleModel>
{
    public Task Consume(ConsumeContext<AssembleModel> context) => runner.RunAsync(
        context, (ModelAssembled done) => done.Result, stop => work.AssembleAsync(context.Message, stop));
}

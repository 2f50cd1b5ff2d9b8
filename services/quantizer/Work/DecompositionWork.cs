using System.Diagnostics;
using MassTransit;
using Microsoft.Extensions.Options;
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
public sealed class DecompositionWork(ModelFolders folders, IOptions<WorkerOptions> worker)
{
    public async Task<LayersDecomposed> DecomposeAsync(DecomposeLayers command, CancellationToken cancellation)
    {
        var model = await folders.OpenAsync(command.Model, cancellation);
        var recipe = Recipe.FromPart(await folders.ReadTextAsync(command.Decomposition, cancellation));
        using var work = folders.NewFolder();
        foreach (var part in command.Before)
            await folders.LayOutAsync(part, work.Path, cancellation);
        var data = command.Data is { } manifest ? await folders.OpenAsync(manifest, cancellation) : null;
        var unit = Quantize(recipe, model, data, new UnitRange(command.Index, command.Size), work.Path, cancellation);
        using var done = folders.NewFolder();
        foreach (var file in unit.Files)
            File.Move(file, Path.Combine(done.Path, Path.GetFileName(file)));
        var result = await folders.StoreAsync(done, cancellation);
        return new LayersDecomposed(command.PipelineId, command.Unit, result, unit.Units, unit.Size, unit.Chained, unit.RelativeError);
    }

    public async Task<ModelAssembled> AssembleAsync(AssembleModel command, CancellationToken cancellation)
    {
        var recipe = Recipe.FromPart(await folders.ReadTextAsync(command.Decomposition, cancellation));
        using var work = folders.NewFolder();
        var layers = Directory.CreateDirectory(Path.Combine(work.Path, "layers")).FullName;
        foreach (var part in command.Parts)
            await folders.LayOutAsync(part, layers, cancellation);
        var data = command.Data is { } manifest ? await folders.OpenAsync(manifest, cancellation) : null;
        // A model whose configuration has no name is called after its folder.
        var named = Path.Combine(Directory.CreateDirectory(Path.Combine(work.Path, "model")).FullName, Path.GetFileName(command.Name));
        Directory.CreateSymbolicLink(named, await folders.OpenAsync(command.Model, cancellation));
        var output = Path.Combine(work.Path, "output");
        var model = With(recipe, data, quantizer => quantizer.Assemble(named, layers, output, cancellation), cancellation);
        var result = await folders.StoreAsync(output, cancellation);
        return new ModelAssembled(
            command.PipelineId, command.Unit, result, model.RelativeError, model.EffectiveBitsPerWeight, model.Size.Bytes, model.Size.BitsPerParameter);
    }

    private QuantizedUnit Quantize(Recipe recipe, string model, string? data, UnitRange unit, string folder, CancellationToken cancellation)
    {
        var watch = Stopwatch.StartNew();
        return With(recipe, data, quantizer => quantizer.RunUnit(
            model, unit, folder, () => watch.Elapsed.TotalSeconds < worker.Value.UnitSeconds, cancellation), cancellation);
    }

    private T With<T>(Recipe recipe, string? data, Func<ModelQuantizer, T> run, CancellationToken cancellation)
    {
        var device = worker.Value.ReadDevice();
        var method = LayerMethods.For(recipe, device, worker.Value.Threads);
        using var owned = method as IDisposable;
        using var sequences = data is null ? null : new SampledSequences(SampledTokens.Open(data, cancellation));
        var calibration = sequences is null ? null : new CalibrationStream(sequences, new CalibrationOptions
        {
            Sequences = Math.Min(sequences.Count, QuantizationPlan.MostCalibration),
            Device = device,
        });
        return run(new ModelQuantizer(recipe, method, calibration: calibration));
    }
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

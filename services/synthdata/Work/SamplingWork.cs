using MassTransit;
using Qbb.Models;
using Qbb.Models.Generation;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Sampling;
using Qbb.Workers.Models;
using Qbb.Workers.Units;

namespace Qbb.Synthdata.Work;

/// <summary>Samples the units of a folder of data, and puts them together.</summary>
public sealed class SamplingWork(ModelFolders folders, WarmModels models)
{
    public async Task<SequencesSampled> SampleAsync(SampleSequences command, CancellationToken cancellation)
    {
        var (sampler, batch) = await SamplerAsync(command.Model, command.Sampling, command.Use, command.Size, command.Type, isFirst: command.Size is null, cancellation);
        using var work = folders.NewFolder();
        sampler.RunUnit(command.Index, work.Path, cancellation);
        return new SequencesSampled(command.PipelineId, command.Unit, await folders.StoreAsync(work, cancellation), sampler.Units, batch);
    }

    public async Task<DataAssembled> AssembleAsync(AssembleData command, CancellationToken cancellation)
    {
        var (sampler, _) = await SamplerAsync(command.Model, command.Sampling, command.Use, null, command.Type, isFirst: false, cancellation);
        using var work = folders.NewFolder();
        foreach (var part in command.Parts)
            await folders.LayOutAsync(part, work.Path, cancellation);
        sampler.Join(work.Path);
        // Finds every shard there and writes the manifest.
        var manifest = sampler.Run(work.Path, cancellation: cancellation).Manifest;
        var result = await folders.StoreAsync(work, cancellation);
        return new DataAssembled(command.PipelineId, command.Unit, result, manifest.Sequences, manifest.Tokens);
    }

    /// <param name="model">The teacher.</param>
    /// <param name="part">Of the recipe.</param>
    /// <param name="use">Decides which part it is.</param>
    /// <param name="batch">Sequences that are sampled together, so that all workers draw the same; null for what this one has room for.</param>
    /// <param name="type">To calculate in.</param>
    /// <param name="isFirst">It is the first unit, which says how much the others hold: on a CPU no more than this machine has time for.</param>
    /// <param name="cancellation">Stops before the model is loaded.</param>
    private async Task<(DataSampler Sampler, int Batch)> SamplerAsync(
        Digest model, Digest part, DataUse use, int? batch, Precision? type, bool isFirst, CancellationToken cancellation)
    {
        var teacher = await models.LoadAsync(model, type.ToScalarType(), cancellation);
        var config = teacher.Transformer.Config;
        var options = SamplingPart.Read(await folders.ReadTextAsync(part, cancellation), use, config);
        var source = new Teacher(teacher.Transformer, teacher.Digest, teacher.Tokenizer, StopIds.Of(teacher.Source));
        var together = batch ?? BatchSize.Default(config, options.Length, teacher.Transformer.Device, teacher.Transformer.DType);
        if (isFirst && teacher.Transformer.Device.type == DeviceType.CPU && Math.Min(together, options.Sequences) is var most
            && UnitPlan.Cut(most, UnitPlan.Sampling, size => new DataSampler(source, options, size).MeasureBatch(cancellation)) is var cut && cut < most)
        {
            together = cut;
        }
        return (new DataSampler(source, options, together), together);
    }
}

/// <summary>Does <see cref="SampleSequences"/>.</summary>
public sealed class SampleSequencesConsumer(UnitRunner runner, SamplingWork work) : IConsumer<SampleSequences>
{
    public Task Consume(ConsumeContext<SampleSequences> context) => runner.RunAsync(
        context, (SequencesSampled done) => done.Result, stop => work.SampleAsync(context.Message, stop));
}

/// <summary>Does <see cref="AssembleData"/>.</summary>
public sealed class AssembleDataConsumer(UnitRunner runner, SamplingWork work) : IConsumer<AssembleData>
{
    public Task Consume(ConsumeContext<AssembleData> context) => runner.RunAsync(
        context, (DataAssembled done) => done.Result, stop => work.AssembleAsync(context.Message, stop));
}

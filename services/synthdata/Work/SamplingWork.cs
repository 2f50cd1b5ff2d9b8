using MassTransit;
using Qbb.Models.Generation;
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
        var sampler = await SamplerAsync(command.Model, command.Sampling, command.Use, cancellation);
        using var work = folders.NewFolder();
        sampler.RunUnit(command.Index, work.Path, cancellation);
        return new SequencesSampled(command.PipelineId, command.Unit, await folders.StoreAsync(work, cancellation), sampler.Units);
    }

    public async Task<DataAssembled> AssembleAsync(AssembleData command, CancellationToken cancellation)
    {
        var sampler = await SamplerAsync(command.Model, command.Sampling, command.Use, cancellation);
        using var work = folders.NewFolder();
        foreach (var part in command.Parts)
            await folders.LayOutAsync(part, work.Path, cancellation);
        // Finds every shard there and writes the manifest.
        var manifest = sampler.Run(work.Path, cancellation: cancellation).Manifest;
        var result = await folders.StoreAsync(work, cancellation);
        return new DataAssembled(command.PipelineId, command.Unit, result, manifest.Sequences, manifest.Tokens);
    }

    private async Task<DataSampler> SamplerAsync(Digest model, Digest part, DataUse use, CancellationToken cancellation)
    {
        var teacher = await models.LoadAsync(model, cancellation: cancellation);
        var config = teacher.Transformer.Config;
        var options = SamplingPart.Read(await folders.ReadTextAsync(part, cancellation), use, config);
        var source = new Teacher(teacher.Transformer, teacher.Digest, teacher.Tokenizer, StopIds.Of(teacher.Source));
        return new DataSampler(source, options, BatchSize.Default(config, options.Length, teacher.Transformer.Device, ScalarType.Float32));
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

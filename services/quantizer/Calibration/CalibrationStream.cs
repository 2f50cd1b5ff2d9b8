using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Calibration;

/// <summary>
/// Runs calibration sequences through a model while it is quantized, block by block: what a layer sees has gone through the quantized
/// form of everything before it. One block is in memory at a time, and of its linear layers only the quantized ones.
/// </summary>
public sealed class CalibrationStream
{
    private readonly SequenceBatches _batches;
    private readonly CalibrationOptions _options;

    /// <param name="sequences">The tokens; must outlive the stream.</param>
    /// <param name="options">How they run.</param>
    /// <exception cref="InvalidInputException">There are fewer sequences than requested, or none.</exception>
    public CalibrationStream(ITokenSequences sequences, CalibrationOptions? options = null)
    {
        _options = options ?? new CalibrationOptions();
        if (_options.Tokens < 1)
            throw new InvalidInputException($"{_options.TokensPerBatch} tokens per batch: must be at least 1");
        _batches = new SequenceBatches(sequences, _options.Sequences, _options.Tokens);
        TeacherDigest = sequences.TeacherDigest;
    }

    /// <summary>Identity of the tokens in use.</summary>
    public string Digest => _batches.Digest;

    /// <summary>Digest of the model that sampled the data; null for text.</summary>
    public string? TeacherDigest { get; }

    /// <summary>Sequences in use.</summary>
    public int Sequences => _batches.Sequences;

    /// <summary>Tokens in use.</summary>
    public long Tokens => _batches.Tokens;

    /// <summary>Blocks that the sequences went through so far.</summary>
    public int BlockPasses { get; private set; }

    /// <exception cref="InvalidInputException">Another model than the one at hand sampled the data.</exception>
    internal void CheckTeacher(string digest)
    {
        if (TeacherDigest is { } teacher && teacher != digest)
        {
            throw new InvalidInputException(
                $"the calibration data were sampled from another model (digest {teacher[..Math.Min(12, teacher.Length)]}…, " +
                $"this one has {digest[..12]}…): sample from this one with qbb sample, or give --text");
        }
    }

    /// <summary>The linear layers in the order in which they are brought to a sink.</summary>
    public static IEnumerable<LinearSpec> Order(DecoderConfig config, DecoderLayout layout) =>
        layout.Blocks.SelectMany(block => CaptureStages.Of(config.Order, block).SelectMany(stage => stage.SelectMany(group => group)));

    /// <summary>Brings every linear layer to <paramref name="sink"/>, with what it sees as inputs unless it is finished.</summary>
    /// <exception cref="InvalidInputException">A layer or the data cannot be used; the message names it.</exception>
    public void Run(DecoderConfig config, DecoderLayout layout, ITensorSource source, ILayerSink sink, CancellationToken cancellation) =>
        Run(config, layout, source, sink, null, _ => true, cancellation).Dispose();

    /// <summary>The same for some of the layers, those that come next.</summary>
    /// <param name="config">The decoder.</param>
    /// <param name="layout">Its layers.</param>
    /// <param name="source">Its weights.</param>
    /// <param name="sink">Finishes layers; has those of a block that was begun before.</param>
    /// <param name="start">What the blocks before gave; taken over. Null to begin with the tokens.</param>
    /// <param name="more">Asked before each layer that is not finished; where not, the run ends.</param>
    /// <param name="cancellation">Stops after the layer at hand.</param>
    /// <returns>The activations behind the last block whose layers are all finished; behind the model's last they are of no use.</returns>
    public Activations Run(
        DecoderConfig config, DecoderLayout layout, ITensorSource source, ILayerSink sink, Activations? start, Func<LinearSpec, bool> more,
        CancellationToken cancellation)
    {
        var states = start ?? NewActivations(config);
        try
        {
            using var off = torch.no_grad();
            // Embedding, positions and rotary tables without the blocks.
            using var frame = Transformer.Load(config with { BlockCount = 0 }, source, _options.Device, _options.DType);
            using var contexts = new Contexts(frame);
            var last = layout.Blocks.LastOrDefault(block => block.Linears.Any(spec => !sink.IsFinished(spec)));
            var embedded = start is not null;
            foreach (var block in layout.Blocks.Skip(states.Blocks))
            {
                if (last is null || block.Index > last.Index)
                {
                    foreach (var spec in block.Linears)
                        sink.Finish(spec, null, null, cancellation);
                    continue;
                }
                if (!embedded)
                    Embed(frame, contexts, states, cancellation);
                embedded = true;
                if (!RunBlock(config, block, source, sink, contexts, states, block.Index == last.Index, more, cancellation))
                    break;
                states.Blocks++;
            }
            return states;
        }
        catch
        {
            states.Dispose();
            throw;
        }
    }

    /// <summary>Reads activations that a run of the same sequences left in a folder.</summary>
    /// <exception cref="InvalidInputException">A file is damaged, or is of other sequences.</exception>
    public Activations Load(DecoderConfig config, string folder)
    {
        var states = NewActivations(config);
        try
        {
            states.Load(folder, _options.Device);
            return states;
        }
        catch
        {
            states.Dispose();
            throw;
        }
    }

    private Activations NewActivations(DecoderConfig config) =>
        new(_options.ActivationFolder, _batches.Count, _options.KeepsOnDevice(Tokens * config.HiddenSize));

    private void Embed(Transformer frame, Contexts contexts, Activations states, CancellationToken cancellation)
    {
        for (var batch = 0; batch < _batches.Count; batch++)
        {
            cancellation.ThrowIfCancellationRequested();
            using var scope = torch.NewDisposeScope();
            states.Put(batch, frame.embed(_batches.Read(batch), contexts.Of(_batches.RowsOf(batch), _batches.LengthOf(batch))));
        }
    }

    /// <summary>Quantizes the layers of a block and lets the sequences go through; false where there is no time for one of its layers.</summary>
    private bool RunBlock(
        DecoderConfig config, BlockLayout layout, ITensorSource source, ILayerSink sink, Contexts contexts, Activations states,
        bool isLast, Func<LinearSpec, bool> more, CancellationToken cancellation)
    {
        using var block = TransformerBlock.Load(config, layout, source, _options.Device, _options.DType, new CaptureLinear.Loader());
        foreach (var stage in CaptureStages.Of(config.Order, layout))
        {
            var open = stage.Where(group => group.Any(spec => !sink.IsFinished(spec))).ToList();
            var next = open.FirstOrDefault()?.First(spec => !sink.IsFinished(spec));
            if (next is not null && !more(next))
                return false;
            var statistics = open.ConvertAll(group => new InputStatistics(group[0].InFeatures));
            try
            {
                if (open.Count > 0)
                {
                    var captures = new CaptureStage(open.Count);
                    for (var k = 0; k < open.Count; k++)
                        Replace(block, open[k][0], new CaptureLinear(open[k][0].InFeatures, open[k][0].OutFeatures, statistics[k], captures));
                    Batches(states, (x, context, _) => captures.Run(() => block.forward(x, context)), contexts, cancellation);
                }
                foreach (var group in stage)
                {
                    var inputs = open.IndexOf(group) is >= 0 and var k ? statistics[k] : null;
                    foreach (var spec in group)
                    {
                        if (spec != next && !sink.IsFinished(spec) && !more(spec))
                            return false;
                        sink.Finish(spec, sink.IsFinished(spec) ? null : inputs, group, cancellation);
                        Replace(block, spec, ExpandedLinear.Create(sink.Read(spec), source, spec, _options.Device, _options.DType));
                    }
                }
            }
            finally
            {
                statistics.ForEach(one => one.Dispose());
            }
        }
        if (!isLast)
            Batches(states, (x, context, batch) => states.Put(batch, block.forward(x, context)), contexts, cancellation);
        BlockPasses++;
        return true;
    }

    /// <summary>Lets all batches go through something, each with its context and number.</summary>
    private void Batches(Activations states, Action<Tensor, ForwardContext, int> pass, Contexts contexts, CancellationToken cancellation)
    {
        // Here alone: the solver's products between two passes need all of fp32.
        using var rounded = new RoundedFactors();
        for (var batch = 0; batch < _batches.Count; batch++)
        {
            cancellation.ThrowIfCancellationRequested();
            using var scope = torch.NewDisposeScope();
            pass(states.Get(batch, _options.Device, _options.DType), contexts.Of(_batches.RowsOf(batch), _batches.LengthOf(batch)), batch);
        }
    }

    private static void Replace(TransformerBlock block, LinearSpec spec, ILinear linear) => block.Replace(spec.Role, linear).Dispose();

    /// <summary>One context for all batches of a shape.</summary>
    private sealed class Contexts(Transformer frame) : IDisposable
    {
        private readonly Dictionary<(int Rows, int Length), ForwardContext> _made = [];

        public ForwardContext Of(int rows, int length)
        {
            if (!_made.TryGetValue((rows, length), out var context))
                _made[(rows, length)] = context = frame.Context(rows, length);
            return context;
        }

        public void Dispose()
        {
            foreach (var context in _made.Values)
                context.Dispose();
        }
    }
}

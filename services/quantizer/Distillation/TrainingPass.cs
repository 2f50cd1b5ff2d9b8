using System.Runtime.InteropServices;
using Qbb.Cuda;
using Qbb.Models.Decoder;
using Qbb.Recipes;

namespace Qbb.Quantizer.Distillation;

/// <summary>Loss and gradients of a step's sequences. Nothing is moved.</summary>
internal sealed class TrainingPass(
    Transformer student, Transformer teacher, TrainedScales scales, TrainedSigns? signs, TeacherStates states, DistillationRecipe recipe, DistillationOptions options) : IDisposable
{
    /// <summary>A GPU does so many operations in about a quarter of a second; the host needs a third of that to launch them one by one.</summary>
    private const double MostOperations = 1e14;

    private readonly MixedStack _stack = new(student, teacher, options.ActivationCheckpointing);
    private readonly double _weights = student.Parameters().Sum(parameter => (double)parameter.Value.numel());
    private CapturedPass? _captured;
    private bool _captures = student.Device.type == DeviceType.CUDA && options is { CudaGraphs: true, ActivationCheckpointing: false } && recipe is { Accumulate: 1, SwapEnd: null };

    /// <summary>Whether launches are replayed as one graph.</summary>
    public bool IsCaptured => _captured is not null;

    /// <summary>Calculates one step's gradients.</summary>
    /// <param name="batches">The sequences, in so many passes.</param>
    /// <param name="fromStudent">Per pass and block whether the block is the student's.</param>
    public StepGradients Run(IReadOnlyList<TokenBatch> batches, IReadOnlyList<bool[]> fromStudent)
    {
        if (_captures && Captured(batches[0]) is { } captured)
            return captured.Run(batches[0]);
        var positions = batches.Sum(batch => batch.Positions);
        var loss = 0.0;
        for (var pass = 0; pass < batches.Count; pass++)
        {
            using var scope = torch.NewDisposeScope();
            using var context = student.Context(batches[pass].Ids.size(0), batches[pass].Ids.size(1));
            loss += Queue(batches[pass], context, fromStudent[pass], positions).ToDouble();
        }
        using var norm = scales.Collect();
        return new StepGradients(loss, norm.ToDouble(), signs?.TakeGradients() ?? [], Owned: true);
    }

    public void Dispose() => _captured?.Dispose();

    /// <summary>Queues a pass, which adds to the gradients: its part of the step's mean loss, of no dimensions.</summary>
    internal Tensor Queue(TokenBatch batch, ForwardContext context, bool[] fromStudent, long positions, bool alone = false)
    {
        using var scope = torch.NewDisposeScope();
        var features = recipe.FeatureWeight > 0 ? _stack.Features(batch, context) : null;
        var taught = recipe.Loss == DistillationLoss.Ce ? null : Taught();
        var (hidden, feature) = _stack.Run(batch, context, fromStudent, features);
        var labels = batch.Labels.to(student.Device);
        var temperature = recipe.Temperature ?? 1;
        var chunk = ChunkedLoss.PositionsAtOnce(student.Config.VocabularySize, student.Device);
        var loss = ChunkedLoss.Sum(hidden, chunk, (part, first, count) =>
            LogitLoss.Sum(recipe.Loss, student.head(part), Logits(first, count), labels.narrow(0, first, count), temperature)) / positions;
        if (feature is not null)
            loss += feature * (recipe.FeatureWeight * batch.Positions / positions);
        Gradients.Backward(loss);
        return loss.detach().MoveToOuterDisposeScope();

        // What the teacher's head reads: it was on the way to the features, else it may be kept from an earlier pass.
        Tensor Taught()
        {
            if (features is null && !alone)
                return states.Of(batch);
            using var off = torch.no_grad();
            return batch.Select(features is null ? teacher.hidden(batch.Ids) : teacher.norm(features[^1]));
        }

        Tensor? Logits(long first, long count)
        {
            if (taught is null)
                return null;
            using var off = torch.no_grad();
            return teacher.head(taught.narrow(0, first, count));
        }
    }

    private CapturedPass? Captured(TokenBatch batch)
    {
        if (_captured is not null)
            return _captured.Fits(batch) ? _captured : null;
        if (!batch.IsEven || 8 * _weights * batch.Positions > MostOperations)
            return null;
        try
        {
            return _captured = new CapturedPass(this, student, scales, signs, batch);
        }
        catch (Exception e) when (e is CudaException or TorchException or ExternalException)
        {
            // Most likely the graph's own memory did not fit beside what is kept from earlier work: launch by launch that is used again.
            scales.DropGradients();
            signs?.DropGradients();
            _captures = false;
            return null;
        }
    }
}

/// <summary>What a step moves by.</summary>
/// <param name="Loss">Mean over the positions.</param>
/// <param name="Norm">Of the gradients by δ, which the scales have collected.</param>
/// <param name="Dense">Of the dense weights, for the signs.</param>
/// <param name="Owned">Whether <paramref name="Dense"/> are disposed with this.</param>
internal sealed record StepGradients(double Loss, double Norm, IReadOnlyList<Tensor?> Dense, bool Owned) : IDisposable
{
    public void Dispose()
    {
        if (Owned)
            foreach (var tensor in Dense)
                tensor?.Dispose();
    }
}

/// <summary>
/// A pass over sequences of one length as a CUDA graph: the thousands of launches of a small model's forward and backward pass take the host
/// longer than the GPU. Loss and gradients are those of the same launches one by one.
/// </summary>
internal sealed class CapturedPass : IDisposable
{
    private readonly Device _device;
    private readonly TokenBatch _batch;
    private readonly ForwardContext _context;
    private readonly CudaGraph _graph;
    private readonly IReadOnlyList<Tensor?> _dense;
    private Tensor _figures = null!;

    public CapturedPass(TrainingPass pass, Transformer student, TrainedScales scales, TrainedSigns? signs, TokenBatch like)
    {
        _device = student.Device;
        bool[] all = [.. student.Blocks.Select(_ => true)];
        using var scope = torch.NewDisposeScope();
        var first = new TokenBatch(like, 1, _device);
        _batch = new TokenBatch(like, like.Lengths.Length, _device);
        _context = student.Context(_batch.Ids.size(0), _batch.Ids.size(1));
        torch.cuda.synchronize(_device);
        using (new CudaStream(_device).Use())
        {
            // One sequence before: kernels are compiled and libtorch's libraries take their memory.
            using (torch.NewDisposeScope())
            {
                using var context = student.Context(1, first.Ids.size(1));
                Queue(first, context);
                foreach (var tensor in signs?.TakeGradients() ?? [])
                    tensor?.Dispose();
                torch.cuda.synchronize(_device);
            }
            _graph = CudaGraph.Capture(_device, () => _figures = Queue(_batch, _context).DetachFromDisposeScope());
            _dense = signs?.TakeGradients() ?? [];
        }
        torch.cuda.synchronize(_device);
        _batch.Ids.DetachFromDisposeScope();
        _batch.Labels.DetachFromDisposeScope();

        // Loss and norm, [2].
        Tensor Queue(TokenBatch batch, ForwardContext context)
        {
            using var inner = torch.NewDisposeScope();
            var loss = pass.Queue(batch, context, all, batch.Positions, alone: true);
            return torch.stack([loss.to(ScalarType.Float32), scales.Collect()]).MoveToOuterDisposeScope();
        }
    }

    /// <summary>Whether the graph serves these sequences.</summary>
    public bool Fits(TokenBatch batch) => _batch.Fits(batch);

    /// <summary>Replays the pass over other sequences.</summary>
    public StepGradients Run(TokenBatch batch)
    {
        _batch.Take(batch);
        _graph.Replay();
        var figures = _figures.ToArray<float>();
        return new StepGradients(figures[0], figures[1], _dense, Owned: false);
    }

    public void Dispose()
    {
        torch.cuda.synchronize(_device);
        foreach (var tensor in _dense)
            tensor?.Dispose();
        _figures.Dispose();
        _context.Dispose();
        _batch.Ids.Dispose();
        _batch.Labels.Dispose();
        _graph.Dispose();
    }
}

using Qbb.Bases;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// All that is trained of a student: the scales and biases of its binary layers, as changes relative to the mean scale of their group, α =
/// α₀ + δ·mean|α₀| and β = β₀ + δ·mean|α₀|. Adam moves every δ by about the rate, so weights large and small, and biases, which start near
/// 0, move in proportion to their group. On a grid (<see cref="GridScale"/>) it is the step, and the minimum where that is free. The optimizer's
/// state is in fp32.
/// </summary>
internal sealed class TrainedScales : IDisposable
{
    private readonly AdamW _adam;
    /// <summary>Every array of all scales, one after the other in one piece of memory: a step is then a few operators instead of some for each scale.</summary>
    private readonly Tensor _start, _unit, _delta, _value, _gradient;
    private readonly Tensor[] _values, _gradients;
    /// <summary>Where the scales are used: tensors of layers, and those that a grid's follow from.</summary>
    private readonly Tensor[] _targets;
    private readonly List<GridScale> _grids = [];
    private readonly List<Tensor> _layerTensors = [];
    private HashSet<int> _moved = [];

    /// <param name="student">Its scales are made to record gradients, all else is not.</param>
    public TrainedScales(Transformer student)
    {
        student.requires_grad_(false);
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        var scales = new List<(string Name, Tensor Value, Tensor Unit)>();
        foreach (var block in student.Blocks)
        {
            foreach (var spec in block.Layout.Linears)
            {
                if (block.Linear(spec.Role) is not BinaryLinear layer)
                    continue;
                _layerTensors.AddRange(new[] { layer.Alpha, layer.Beta }.OfType<Tensor>());
                var unit = layer.Alpha.detach().abs().mean([0], keepdim: true);
                if (layer.Bases.Steps is not null)
                {
                    var grid = new GridScale(layer);
                    _grids.Add(grid);
                    scales.Add((BasesTensors.Step(spec.Module), grid.Step, grid.Step.abs()));
                    if (grid.Minimum is { } minimum)
                        scales.Add((BasesTensors.Minimum(spec.Module), minimum, unit.squeeze(0)));
                    continue;
                }
                scales.Add((BasesTensors.Alpha(spec.Module), layer.Alpha, unit.expand(layer.Alpha.shape)));
                if (layer.Beta is { } beta)
                    scales.Add((BasesTensors.Beta(spec.Module), beta, unit.squeeze(0)));
            }
        }
        var empty = torch.zeros([0], ScalarType.Float32, student.Device);
        _start = Flat(scales.Select(scale => scale.Value.detach()));
        _unit = Flat(scales.Select(scale => scale.Unit));
        (_delta, _value, _gradient) = (Zeros(), Zeros(), Zeros());
        long[][] shapes = [.. scales.Select(scale => scale.Value.shape)];
        var (starts, units, deltas) = (AdamW.Parts(_start, shapes), AdamW.Parts(_unit, shapes), AdamW.Parts(_delta, shapes));
        (_values, _gradients) = (AdamW.Parts(_value, shapes), AdamW.Parts(_gradient, shapes));
        _targets = [.. scales.Select(scale => scale.Value)];
        All = [.. scales.Select((scale, k) => new TrainedScale(scale.Name, scale.Value, starts[k], units[k], deltas[k]))];
        foreach (var tensor in _layerTensors)
            tensor.requires_grad = true;
        _adam = new AdamW(_delta, shapes);

        Tensor Flat(IEnumerable<Tensor> parts) => torch.cat([empty, .. parts.Select(part => part.reshape(-1))]).DetachFromDisposeScope();
        Tensor Zeros() => torch.zeros_like(_start).DetachFromDisposeScope();
    }

    public IReadOnlyList<TrainedScale> All { get; }

    public AdamWState AdamState => _adam.state_dict();

    /// <summary>Takes the gradients that backward left at the scales, by δ. Queues work only, so that it can be part of a CUDA graph.</summary>
    /// <returns>Their norm, of no dimensions, where the scales are.</returns>
    public Tensor Collect()
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var ofGrids = new Dictionary<object, Tensor?>(ReferenceEqualityComparer.Instance);
        foreach (var (value, gradient) in _grids.SelectMany(grid => grid.Gradients()))
            ofGrids[value] = gradient;
        // A block that was not swapped in has no gradient, and its scales stay.
        var found = Array.ConvertAll(_targets, value => ofGrids.TryGetValue(value, out var gradient) ? gradient : value.grad);
        _moved = [.. Enumerable.Range(0, found.Length).Where(k => found[k] is not null)];
        if (_moved.Count < found.Length)
            _gradient.zero_();
        if (_moved.Count > 0)
            torch._foreach_copy_([.. _moved.Select(k => _gradients[k])], [.. _moved.Select(k => found[k]!)]);
        DropGradients();
        return _gradient.mul_(_unit).norm().MoveToOuterDisposeScope();
    }

    /// <summary>Moves the scales by one step of Adam with the gradients of the last <see cref="Collect"/>.</summary>
    /// <param name="rate">Learning rate.</param>
    /// <param name="norm">Of the gradients.</param>
    /// <param name="clip">Largest norm of all gradients by δ; larger ones are scaled down to it.</param>
    public void Step(double rate, double norm, double clip)
    {
        using var off = torch.no_grad();
        if (norm > clip)
            _gradient.mul_(clip / (norm + 1e-6));
        if (_moved.Count == _targets.Length)
            _adam.step(rate, _gradient);
        else
            _adam.step(rate, [.. _gradients.Select((gradient, k) => _moved.Contains(k) ? gradient : null)]);
        Apply();
    }

    /// <summary>Forgets gradients that were not used.</summary>
    public void DropGradients()
    {
        foreach (var tensor in _layerTensors)
            tensor.grad = null;
    }

    /// <summary>Gives the layers the scales that follow from δ.</summary>
    public void Apply()
    {
        using var off = torch.no_grad();
        _value.copy_(_start).addcmul_(_delta, _unit, 1);
        torch._foreach_copy_(_targets, _values);
        _grids.ForEach(grid => grid.Apply());
    }

    /// <summary>Gives the layers their scales as fp16 will store them, until <see cref="Apply"/>.</summary>
    public void Round()
    {
        using var off = torch.no_grad();
        _grids.ForEach(grid => grid.Round());
        foreach (var scale in All)
        {
            using var scope = torch.NewDisposeScope();
            scale.Value.copy_(scale.Value.to(ScalarType.Float16));
        }
        _grids.ForEach(grid => grid.Apply());
    }

    /// <summary>The scales as they are now, in fp16: after <see cref="Round"/>, what will be stored.</summary>
    public Half[][] Halves() => [.. All.Select(scale =>
    {
        using var scope = torch.NewDisposeScope();
        return scale.Value.detach().to(ScalarType.Float16).ToArray<Half>();
    })];

    /// <summary>Goes back to a state that was saved.</summary>
    /// <param name="deltas">δ of every scale.</param>
    /// <param name="adam">The optimizer's state then.</param>
    public void Restore(IReadOnlyList<Tensor> deltas, AdamWState adam)
    {
        using (torch.no_grad())
        {
            foreach (var (scale, delta) in All.Zip(deltas))
                scale.Delta.copy_(delta);
        }
        _adam.load_state_dict(adam);
        DropGradients();
        Apply();
    }

    public void Dispose()
    {
        _adam.Dispose();
        foreach (var scale in All)
            scale.Dispose();
        _grids.ForEach(grid => grid.Dispose());
        foreach (var tensor in (Tensor[])[_start, _unit, _delta, _value, _gradient, .. _values, .. _gradients])
            tensor.Dispose();
    }
}

/// <summary>What a training would store if it ended now.</summary>
/// <param name="Scales">In fp16, in the order of <see cref="TrainedScales.All"/>.</param>
/// <param name="Planes">i32 [N, out, words], in the order of <see cref="TrainedSigns.All"/>; empty where the signs stay.</param>
internal sealed record TrainedValues(Half[][] Scales, int[][] Planes)
{
    public static TrainedValues None { get; } = new([], []);
}

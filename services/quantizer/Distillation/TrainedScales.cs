using Qbb.Bases;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// All that is trained of a student: the scales and biases of its binary layers, as changes relative to the mean scale of their group, α =
/// α₀ + δ·mean|α₀| and β = β₀ + δ·mean|α₀|. Adam moves every δ by about the rate, so weights large and small, and biases, which start near
/// 0, move in proportion to their group. The optimizer's state is in fp32.
/// </summary>
internal sealed class TrainedScales : IDisposable
{
    private readonly AdamW _adam;

    /// <param name="student">Its scales are made to record gradients, all else is not.</param>
    public TrainedScales(Transformer student)
    {
        student.requires_grad_(false);
        var scales = new List<TrainedScale>();
        foreach (var block in student.Blocks)
        {
            foreach (var spec in block.Layout.Linears)
            {
                if (block.Linear(spec.Role) is not BinaryLinear layer)
                    continue;
                using var scope = torch.NewDisposeScope();
                var unit = layer.Alpha.detach().abs().mean([0], keepdim: true);
                scales.Add(TrainedScale.Create(BasesTensors.Alpha(spec.Module), layer.Alpha, unit));
                if (layer.Beta is { } beta)
                    scales.Add(TrainedScale.Create(BasesTensors.Beta(spec.Module), beta, unit.squeeze(0)));
            }
        }
        All = scales;
        _adam = new AdamW(scales.Select(scale => (scale.Delta, 0.0)));
    }

    public IReadOnlyList<TrainedScale> All { get; }

    public AdamWState AdamState => _adam.state_dict();

    /// <summary>Takes the gradients that backward left at the scales, clips them and moves the scales by one step of Adam.</summary>
    /// <param name="rate">Learning rate.</param>
    /// <param name="clip">Largest norm of all gradients by δ.</param>
    /// <returns>The norm before clipping; where it is not finite nothing was moved.</returns>
    public double Step(double rate, double clip)
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        // A block that was not swapped in has no gradient.
        var moved = All.Select(scale => (Scale: scale, Gradient: scale.Value.grad)).Where(pair => pair.Gradient is not null).ToArray();
        var gradients = torch._foreach_mul([.. moved.Select(pair => pair.Gradient!)], [.. moved.Select(pair => pair.Scale.Unit)]);
        for (var k = 0; k < moved.Length; k++)
            moved[k].Scale.Delta.grad = gradients[k];
        DropGradients();
        var norm = _adam.clip_grad_norm(clip);
        if (double.IsFinite(norm))
        {
            _adam.step(rate);
            Apply();
        }
        _adam.zero_grad();
        return norm;
    }

    /// <summary>Forgets gradients that were not used.</summary>
    public void DropGradients()
    {
        foreach (var scale in All)
            scale.Value.grad = null;
    }

    /// <summary>Gives the layers the scales that follow from δ.</summary>
    public void Apply()
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        torch._foreach_copy_([.. All.Select(scale => scale.Value)], [.. All.Select(scale => scale.Start)]);
        foreach (var scale in All)
            scale.Value.addcmul_(scale.Delta, scale.Unit, 1);
    }

    /// <summary>Gives the layers their scales as fp16 will store them, until <see cref="Apply"/>.</summary>
    public void Round()
    {
        using var off = torch.no_grad();
        foreach (var scale in All)
        {
            using var scope = torch.NewDisposeScope();
            scale.Value.copy_(scale.Value.to(ScalarType.Float16));
        }
    }

    /// <summary>The layers' scales as they are now, in fp16.</summary>
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
    }
}

/// <summary>What a training would store if it ended now.</summary>
/// <param name="Scales">In fp16, in the order of <see cref="TrainedScales.All"/>.</param>
/// <param name="Planes">i32 [N, out, words], in the order of <see cref="TrainedSigns.All"/>; empty where the signs stay.</param>
internal sealed record TrainedValues(Half[][] Scales, int[][] Planes)
{
    public static TrainedValues None { get; } = new([], []);
}

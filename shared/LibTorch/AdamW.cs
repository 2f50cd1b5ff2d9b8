namespace Qbb.LibTorch;

/// <summary>What <see cref="AdamW"/> remembers between steps, one entry per parameter in the order they were given.</summary>
/// <param name="step">Updates that the parameter had.</param>
/// <param name="exp_avg">m, the running mean of its gradients.</param>
/// <param name="exp_avg_sq">v, the running mean of their squares.</param>
public sealed record AdamWState(long[] step, Tensor[] exp_avg, Tensor[] exp_avg_sq);

/// <summary>
/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as torch.optim.AdamW: p ← p(1 − lr·λ);
/// m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; p ← p − lr · (m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε). TorchSharp's own takes one parameter at a time
/// in a dozen operators each, and does not tell its state.
/// </summary>
public sealed class AdamW : IDisposable
{
    private readonly Slot[] _slots;
    private readonly Slot? _whole;
    private readonly double _beta1, _beta2, _eps;

    /// <param name="parameters">Leaf tensors with their weight decay λ each; norms and biases usually have none.</param>
    public AdamW(IEnumerable<(Tensor Parameter, double WeightDecay)> parameters, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8)
    {
        (_beta1, _beta2, _eps) = (beta1, beta2, eps);
        _slots = [.. parameters.Select(p => new Slot(p.Parameter, p.WeightDecay,
            torch.zeros_like(p.Parameter).DetachFromDisposeScope(), torch.zeros_like(p.Parameter).DetachFromDisposeScope()))];
    }

    /// <summary>Parameters that lie one after the other in one piece of memory, without weight decay: <see cref="step(double, Tensor)"/> moves all in one launch.</summary>
    /// <param name="whole">The memory, [n].</param>
    /// <param name="shapes">Of each parameter, in their order.</param>
    public AdamW(Tensor whole, IEnumerable<long[]> shapes, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8)
    {
        (_beta1, _beta2, _eps) = (beta1, beta2, eps);
        _whole = new Slot(whole, 0, torch.zeros_like(whole).DetachFromDisposeScope(), torch.zeros_like(whole).DetachFromDisposeScope());
        long[][] all = [.. shapes];
        _slots = [.. Parts(whole, all).Zip(Parts(_whole.Mean, all), Parts(_whole.Square, all)).Select(part => new Slot(part.First, 0, part.Second, part.Third))];
    }

    /// <summary>Views of parts that lie one after the other, outside every dispose scope.</summary>
    public static Tensor[] Parts(Tensor whole, IReadOnlyList<long[]> shapes)
    {
        var (parts, first) = (new Tensor[shapes.Count], 0L);
        for (var k = 0; k < parts.Length; k++)
        {
            var count = shapes[k].Aggregate(1L, (product, size) => product * size);
            using var part = whole.narrow(0, first, count);
            parts[k] = part.view(shapes[k]).DetachFromDisposeScope();
            first += count;
        }
        return parts;
    }

    /// <summary>One update of parameters in one piece of memory.</summary>
    /// <param name="lr">Learning rate.</param>
    /// <param name="gradient">Of all of them, in their order, [n].</param>
    public void step(double lr, Tensor gradient)
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        if (_whole is null || _slots.Any(slot => slot.Step != _slots[0].Step))
        {
            var parts = Parts(gradient, [.. _slots.Select(slot => slot.Parameter.shape)]);
            step(lr, parts);
            Array.ForEach(parts, part => part.Dispose());
            return;
        }
        foreach (var slot in _slots)
            _whole.Step = ++slot.Step;
        if (IsFused(_whole.Parameter))
            Fused([_whole], [gradient], lr, 0);
        else
            Plain(_whole, gradient, lr);
    }

    /// <summary>One update with learning rate <paramref name="lr"/>; parameters without a gradient stay as they are.</summary>
    /// <param name="lr">Learning rate.</param>
    /// <param name="gradients">One for every parameter or null; those of backward where none are given.</param>
    public void step(double lr, Tensor?[]? gradients = null)
    {
        using var off = torch.no_grad();
        using var outer = torch.NewDisposeScope();
        var moved = _slots.Select((slot, k) => (Slot: slot, Gradient: gradients is null ? slot.Parameter.grad : gradients[k]))
            .Where(pair => pair.Gradient is not null).ToArray();
        foreach (var (slot, _) in moved)
            slot.Step++;
        // A step of one small parameter at a time is a dozen launches each.
        if (moved.Length > 0 && moved.All(pair => IsFused(pair.Slot.Parameter)))
        {
            foreach (var group in moved.GroupBy(pair => pair.Slot.WeightDecay))
                Fused([.. group.Select(pair => pair.Slot)], [.. group.Select(pair => pair.Gradient!)], lr, group.Key);
            return;
        }
        foreach (var (slot, gradient) in moved)
            Plain(slot, gradient!, lr);
    }

    private void Plain(Slot slot, Tensor gradient, double lr)
    {
        using var scope = torch.NewDisposeScope();
        var (parameter, decay, mean, square) = slot;
        double correction1 = 1 - Math.Pow(_beta1, slot.Step), correction2 = 1 - Math.Pow(_beta2, slot.Step);
        if (decay != 0)
            parameter.mul_(1 - lr * decay);
        mean.mul_(_beta1).add_(gradient, 1 - _beta1);
        square.mul_(_beta2).addcmul_(gradient, gradient, 1 - _beta2);
        parameter.addcdiv_(mean, square.sqrt().mul_(1 / Math.Sqrt(correction2)).add_(_eps), -lr / correction1);
    }

    private static bool IsFused(Tensor parameter) => parameter is { dtype: ScalarType.Float32, device_type: DeviceType.CUDA };

    /// <summary>The same by libtorch's kernel for many parameters.</summary>
    private void Fused(Slot[] slots, Tensor[] gradients, double lr, double decay)
    {
        // The kernel only reads the counts: parameters that moved as often share one.
        var counts = slots.GroupBy(slot => slot.Step).ToDictionary(group => group.Key, group => torch.tensor((float)group.Key).to(slots[0].Parameter.device));
        var steps = Array.ConvertAll(slots, slot => counts[slot.Step]);
        Dispatcher.CallVoid("aten::_fused_adamw_", "", returns: false,
            slots.Select(slot => slot.Parameter).ToArray(), gradients, slots.Select(slot => slot.Mean).ToArray(),
            slots.Select(slot => slot.Square).ToArray(), Array.Empty<Tensor>(), steps,
            lr, _beta1, _beta2, decay, _eps, false, false, Dispatcher.Argument.None, Dispatcher.Argument.None);
    }

    /// <summary>Frees all gradients.</summary>
    public void zero_grad()
    {
        foreach (var slot in _slots)
            slot.Parameter.grad = null;
    }

    /// <summary>Scales all gradients so that their common Euclidean norm is at most <paramref name="limit"/>; gives the norm before.</summary>
    public double clip_grad_norm(double limit)
    {
        using var scope = torch.NewDisposeScope();
        var gradients = _slots.Select(s => s.Parameter.grad).OfType<Tensor>().ToArray();
        if (gradients.Length == 0)
            return 0;
        var norm = torch.stack(gradients.Select(gradient => gradient.norm())).norm().ToDouble();
        if (norm > limit)
            foreach (var gradient in gradients)
                gradient.mul_(limit / (norm + 1e-6));
        return norm;
    }

    /// <summary>All that the next step depends on beside the parameters. The tensors are those at work, not copies.</summary>
    public AdamWState state_dict() =>
        new([.. _slots.Select(s => s.Step)], [.. _slots.Select(s => s.Mean)], [.. _slots.Select(s => s.Square)]);

    /// <summary>Copies a state in: the next step is then the one that would have followed it.</summary>
    /// <exception cref="ArgumentException">The state is of other parameters.</exception>
    public void load_state_dict(AdamWState state)
    {
        if (state.step.Length != _slots.Length || state.exp_avg.Length != _slots.Length || state.exp_avg_sq.Length != _slots.Length)
            throw new ArgumentException($"a state of {state.step.Length} parameters for an optimizer of {_slots.Length}");
        using var off = torch.no_grad();
        for (var k = 0; k < _slots.Length; k++)
        {
            var slot = _slots[k];
            var (mean, square) = (state.exp_avg[k], state.exp_avg_sq[k]);
            if (!mean.shape.SequenceEqual(slot.Mean.shape) || !square.shape.SequenceEqual(slot.Mean.shape))
                throw new ArgumentException($"the state of parameter {k} is {mean.Describe()} where it is {slot.Mean.Describe()}");
            slot.Step = state.step[k];
            slot.Mean.copy_(mean);
            slot.Square.copy_(square);
        }
    }

    public void Dispose()
    {
        foreach (var slot in _whole is null ? _slots : [.. _slots, _whole])
        {
            slot.Mean.Dispose();
            slot.Square.Dispose();
            if (_whole is not null && slot != _whole)
                slot.Parameter.Dispose();
        }
    }

    /// <summary>A parameter counts its own steps: one that had no gradient for a while must not have its means taken for old ones.</summary>
    private sealed record Slot(Tensor Parameter, double WeightDecay, Tensor Mean, Tensor Square)
    {
        public long Step { get; set; }
    }
}

namespace Qbb.Torch;

public static partial class torch
{
    /// <summary>PyTorch's torch.optim.</summary>
    public static partial class optim
    {
        /// <summary>
        /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as torch.optim.AdamW: p ← p(1 − lr·λ);
        /// m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; p ← p − lr · (m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε).
        /// </summary>
        public sealed class AdamW : IDisposable
        {
            private readonly Slot[] _slots;
            private readonly double _beta1, _beta2, _eps;
            private long _step;

            /// <param name="parameters">Leaf tensors with their weight decay λ each; norms and biases usually have none.</param>
            public AdamW(IEnumerable<(Tensor Parameter, double WeightDecay)> parameters, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8)
            {
                (_beta1, _beta2, _eps) = (beta1, beta2, eps);
                _slots = [.. parameters.Select(p => new Slot(p.Parameter, p.WeightDecay,
                    zeros_like(p.Parameter).DetachFromDisposeScope(), zeros_like(p.Parameter).DetachFromDisposeScope()))];
            }

            /// <summary>One update with learning rate <paramref name="lr"/>; parameters without a gradient stay as they are.</summary>
            public void step(double lr)
            {
                _step++;
                double correction1 = 1 - Math.Pow(_beta1, _step), correction2 = 1 - Math.Pow(_beta2, _step);
                using var off = no_grad();
                foreach (var (parameter, decay, mean, square) in _slots)
                {
                    using var scope = NewDisposeScope();
                    if (parameter.grad is not { } gradient)
                        continue;
                    if (decay != 0)
                        parameter.mul_(1 - lr * decay);
                    mean.lerp_(gradient, 1 - _beta1);
                    square.mul_(_beta2).addcmul_(gradient, gradient, 1 - _beta2);
                    parameter.addcdiv_(mean, square.sqrt().mul_(1 / Math.Sqrt(correction2)).add_(_eps), -lr / correction1);
                }
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
                using var scope = NewDisposeScope();
                var gradients = _slots.Select(s => s.Parameter.grad).OfType<Tensor>().ToArray();
                if (gradients.Length == 0)
                    return 0;
                var norm = stack([.. gradients.Select(g => g.norm())]).norm().item();
                if (norm > limit)
                    foreach (var g in gradients)
                        g.mul_(limit / (norm + 1e-6));
                return norm;
            }

            public void Dispose()
            {
                foreach (var slot in _slots)
                {
                    slot.Mean.Dispose();
                    slot.Square.Dispose();
                }
            }

            private sealed record Slot(Tensor Parameter, double WeightDecay, Tensor Mean, Tensor Square);
        }
    }
}

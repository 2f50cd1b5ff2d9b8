namespace Qbb.Torch;

public static partial class torch
{
    /// <summary>PyTorch's torch.utils.</summary>
    public static class utils
    {
        /// <summary>
        /// Activation checkpointing: runs <paramref name="function"/> without keeping what its gradients need, and runs it once more when
        /// they are asked for. Memory for time; value and gradients stay the same.
        /// </summary>
        /// <param name="function">From x to the result, a pure function: it runs twice. What it captures must live until backward.</param>
        /// <param name="x">Its argument; kept until backward.</param>
        /// <param name="parameters">The leaves that the function uses and that gradients are wanted for.</param>
        public static Tensor checkpoint(Func<Tensor, Tensor> function, Tensor x, params Tensor[] parameters)
        {
            if (!is_grad_enabled() || !(x.requires_grad || parameters.Any(parameter => parameter.requires_grad)))
                return function(x);
            var wantsX = x.requires_grad;
            var kept = x.detach().Save();
            Tensor y;
            using (no_grad())
                y = function(x);
            autograd.record([x, .. parameters], [y], gradients =>
            {
                using var on = enable_grad();
                var again = kept.detach().requires_grad_(wantsX);
                Tensor[] inputs = [again, .. parameters];
                var wanted = Enumerable.Range(0, inputs.Length).Where(k => inputs[k].requires_grad).ToArray();
                var found = autograd.grad(function(again), [.. wanted.Select(k => inputs[k])], gradients[0]);
                var result = new Tensor?[inputs.Length];
                for (var k = 0; k < wanted.Length; k++)
                    result[wanted[k]] = found[k];
                return result;
            }, kept);
            return y;
        }
    }
}

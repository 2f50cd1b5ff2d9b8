namespace Qbb.Torch;

/// <summary>What <see cref="torch.optim.AdamW"/> remembers between steps, one entry per parameter in the order they were given.</summary>
/// <param name="step">Updates that the parameter had.</param>
/// <param name="exp_avg">m, the running mean of its gradients.</param>
/// <param name="exp_avg_sq">v, the running mean of their squares.</param>
public sealed record AdamWState(long[] step, Tensor[] exp_avg, Tensor[] exp_avg_sq);

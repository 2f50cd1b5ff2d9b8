using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.OutputAware;

namespace Qbb.Quantizer.Tests.Methods.OutputAware;

/// <summary>Statistics of made-up inputs.</summary>
internal static class Inputs
{
    /// <summary>Gaussian inputs, mixed so that few directions carry most of them.</summary>
    public static InputStatistics Correlated(int features, int count, ulong seed)
    {
        using var scope = torch.NewDisposeScope();
        var mixing = torch.tensor(Synthetic.Gaussian(features * features, seed), features, features);
        var decay = torch.arange(0, features, 1, ScalarType.Float32).mul(-4.0 / features).exp().unsqueeze(1);
        var x = torch.matmul(torch.tensor(Synthetic.Gaussian(count * features, seed + 1), count, features), mixing * decay);
        var statistics = new InputStatistics(features);
        statistics.Add(x);
        return statistics;
    }
}

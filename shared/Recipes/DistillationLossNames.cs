namespace Qbb.Recipes;

/// <summary>The losses as options and files spell them.</summary>
public static class DistillationLossNames
{
    /// <summary>ce, kd, kd-mse, kd-mse-swap.</summary>
    public static IReadOnlyDictionary<string, DistillationLoss> All { get; } =
        new Dictionary<string, DistillationLoss>(StringComparer.Ordinal)
        {
            ["ce"] = DistillationLoss.Ce,
            ["kd"] = DistillationLoss.Kd,
            ["kd-mse"] = DistillationLoss.KdMse,
            ["kd-mse-swap"] = DistillationLoss.KdMseSwap,
        };

    public static string Of(DistillationLoss loss) => All.Single(pair => pair.Value == loss).Key;
}

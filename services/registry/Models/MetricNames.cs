namespace Qbb.Registry.Models;

/// <summary>The figures that the pipeline files with a version; people may add others.</summary>
internal static class MetricNames
{
    public const string Perplexity = "perplexity";
    public const string TeacherPerplexity = "teacherPerplexity";

    /// <summary>Mean KL(teacher ‖ version) per position in nats.</summary>
    public const string Kl = "kl";

    /// <summary>Share of positions where version and teacher have the same most likely token.</summary>
    public const string Top1 = "top1";
    public const string BitsPerWeight = "bitsPerWeight";
    public const string Bytes = "bytes";

    /// <summary>‖W − Ŵ‖²/‖W‖² before distillation.</summary>
    public const string RelativeError = "relativeError";

    /// <summary>KL on held-out sequences before and after distillation.</summary>
    public const string HeldOutKlBefore = "heldOutKlBefore";
    public const string HeldOutKlAfter = "heldOutKlAfter";
}

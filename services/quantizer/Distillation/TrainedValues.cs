namespace Qbb.Quantizer.Distillation;

/// <summary>What a training would store if it ended now.</summary>
/// <param name="Scales">In fp16, in the order of <see cref="TrainedScales.All"/>.</param>
/// <param name="Planes">i32 [N, out, words], in the order of <see cref="TrainedSigns.All"/>; empty where the signs stay.</param>
internal sealed record TrainedValues(Half[][] Scales, int[][] Planes)
{
    public static TrainedValues None { get; } = new([], []);
}

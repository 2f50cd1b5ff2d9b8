namespace Qbb.Quantizer.Mixed;

/// <summary>One choice for a layer.</summary>
/// <param name="Cost">What it takes of the budget.</param>
/// <param name="Loss">What it does harm.</param>
public readonly record struct LayerOption(long Cost, double Loss);

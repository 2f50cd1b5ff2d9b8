namespace Qbb.Quantizer.Mixed;

/// <summary>One more figure is measured.</summary>
/// <param name="Layer">The module.</param>
/// <param name="Bases">N.</param>
/// <param name="Kl">What quantizing it did.</param>
/// <param name="Done">Work done: forward passes of blocks.</param>
/// <param name="Total">All of it.</param>
public sealed record SensitivityProgress(string Layer, int Bases, double Kl, double Done, double Total);

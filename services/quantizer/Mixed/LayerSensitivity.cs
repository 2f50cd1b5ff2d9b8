namespace Qbb.Quantizer.Mixed;

/// <summary>What quantizing one layer alone does to the model.</summary>
/// <param name="Layer">The module.</param>
/// <param name="Weights">Its weights.</param>
/// <param name="Kl">KL(teacher ‖ model) in nats per token, for the numbers of bases from fewest to most.</param>
/// <param name="Bits">What the layer then takes, scales and biases included.</param>
public sealed record LayerSensitivity(string Layer, long Weights, IReadOnlyList<double> Kl, IReadOnlyList<long> Bits);

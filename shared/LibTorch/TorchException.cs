namespace Qbb.LibTorch;

/// <summary>libtorch cannot be used here: missing, of a version that was not tried, or without the device requested. The message has the remedy.</summary>
public sealed class TorchUnavailableException(string message) : Exception(message);

/// <summary>libtorch or a gradient of ours refused a call.</summary>
/// <param name="operation">The operator: <c>aten::mm.out</c>.</param>
/// <param name="arguments">What it was given: <c>f32[2, 3]</c>.</param>
/// <param name="detail">The reason.</param>
/// <param name="inner">What was thrown within a backward pass.</param>
public sealed class TorchException(string operation, string arguments, string detail, Exception? inner = null)
    : Exception($"{operation}({arguments}): {detail}", inner);

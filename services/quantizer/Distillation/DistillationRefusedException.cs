using Qbb.Models;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// A distillation came to nothing that may be published: it is no better than its start, or its loss was not finite twice.
/// </summary>
public sealed class DistillationRefusedException(string message) : InvalidInputException(message);

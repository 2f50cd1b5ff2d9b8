namespace Qbb.Models.Decoder;

/// <summary>One of the matrices inside a fused linear layer.</summary>
/// <param name="Role">What the part does.</param>
/// <param name="Rows">How many of the fused matrix's output rows belong to it.</param>
public sealed record FusedPart(LinearRole Role, int Rows);

namespace Qbb.Checkpoints;

/// <summary>What a checkpoint holds of one stored type.</summary>
/// <param name="Type">As the format spells it.</param>
/// <param name="Tensors">How many there are.</param>
/// <param name="Elements">Their elements together.</param>
/// <param name="Bytes">Their bytes together.</param>
public sealed record TypeTotal(string Type, int Tensors, long Elements, long Bytes);

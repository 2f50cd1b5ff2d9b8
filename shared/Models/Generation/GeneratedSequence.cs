namespace Qbb.Models.Generation;

/// <summary>What was added to a prompt.</summary>
/// <param name="Tokens">The new tokens, a stop token included.</param>
/// <param name="Stopped">A stop token ended it, not the limit on tokens.</param>
public sealed record GeneratedSequence(IReadOnlyList<int> Tokens, bool Stopped);

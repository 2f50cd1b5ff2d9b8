namespace Qbb.Models.Tokenizers;

/// <summary>What a post-processor puts around the tokens of a text.</summary>
internal sealed record SequenceTemplate(IReadOnlyList<int> Before, IReadOnlyList<int> After)
{
    public static SequenceTemplate Empty { get; } = new([], []);

    /// <summary>This one, then another around it.</summary>
    public SequenceTemplate Then(SequenceTemplate outer) => new([.. outer.Before, .. Before], [.. After, .. outer.After]);
}

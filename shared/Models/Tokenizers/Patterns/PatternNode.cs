namespace Qbb.Models.Tokenizers;

/// <summary>A regular expression as a tree; the nested records are its cases.</summary>
internal abstract record PatternNode
{
    /// <summary>True where the empty text may match.</summary>
    public abstract bool IsNullable { get; }

    /// <summary>Exactly one code point of a set.</summary>
    public sealed record One(CodePointSet Set) : PatternNode
    {
        public override bool IsNullable => false;
    }

    /// <summary>One after the other; empty matches the empty text.</summary>
    public sealed record Sequence(IReadOnlyList<PatternNode> Items) : PatternNode
    {
        public override bool IsNullable => Items.All(item => item.IsNullable);
    }

    /// <summary>The first of these that leads to a match.</summary>
    public sealed record Choice(IReadOnlyList<PatternNode> Items) : PatternNode
    {
        public override bool IsNullable => Items.Any(item => item.IsNullable);
    }

    /// <summary>Between <paramref name="Least"/> and <paramref name="Most"/> times; <see cref="int.MaxValue"/> means without end.</summary>
    public sealed record Repeat(PatternNode Item, int Least, int Most, bool Lazy) : PatternNode
    {
        public override bool IsNullable => Least == 0 || Item.IsNullable;
    }

    /// <summary>A group whose first match is final.</summary>
    public sealed record Atomic(PatternNode Item) : PatternNode
    {
        public override bool IsNullable => Item.IsNullable;
    }

    /// <summary>A condition on the text after or before the position.</summary>
    public sealed record Look(PatternNode Item, bool Behind, bool Negative) : PatternNode
    {
        public override bool IsNullable => true;
    }

    /// <summary>A condition on the position itself.</summary>
    public sealed record Anchor(PatternAnchor Kind) : PatternNode
    {
        public override bool IsNullable => true;
    }
}

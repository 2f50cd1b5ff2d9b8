using Qbb.Inference.Decoding;

namespace Qbb.Inference.Serving;

/// <summary>Ended sequences that later prompts continue from; those that were used longest ago go first.</summary>
/// <param name="limit">Tokens of all together.</param>
internal sealed class PrefixCache(int limit)
{
    /// <summary>Calculating fewer tokens again costs less than a copy.</summary>
    public const int Least = 16;

    private readonly LinkedList<(int[] Tokens, IDecoderSequence Sequence)> _kept = [];

    public int Tokens { get; private set; }

    /// <summary>Takes over a sequence.</summary>
    public void Keep(int[] tokens, IDecoderSequence sequence)
    {
        if (tokens.Length > limit)
        {
            sequence.Truncate(limit);
            tokens = tokens[..limit];
        }
        if (tokens.Length < Least || _kept.Any(kept => kept.Tokens.AsSpan().StartsWith(tokens)))
        {
            sequence.Dispose();
            return;
        }
        for (var (node, next) = (_kept.First, _kept.First?.Next); node is not null; (node, next) = (next, next?.Next))
        {
            if (tokens.AsSpan().StartsWith(node.Value.Tokens))
                Remove(node).Dispose();
        }
        _kept.AddFirst((tokens, sequence));
        Tokens += tokens.Length;
        while (Tokens > limit)
            Remove(_kept.Last!).Dispose();
    }

    /// <summary>How many tokens of a prompt the best of the kept sequences begins with.</summary>
    public int Longest(ReadOnlySpan<int> prompt) => Best(prompt).Common;

    /// <summary>A sequence with the first tokens of a prompt, as many as <see cref="Longest"/> says.</summary>
    public IDecoderSequence Take(ReadOnlySpan<int> prompt)
    {
        var (node, common) = Best(prompt);
        var (tokens, sequence) = node!.Value;
        // Continued as a whole it will be kept again.
        if (common == tokens.Length)
            return Remove(node);
        _kept.Remove(node);
        _kept.AddFirst(node);
        return First(sequence, common);
    }

    /// <summary>A copy of a sequence's first tokens.</summary>
    public static IDecoderSequence First(IDecoderSequence sequence, int length)
    {
        var copy = sequence.Fork();
        copy.Truncate(length);
        return copy;
    }

    public void Clear()
    {
        while (_kept.Last is { } node)
            Remove(node).Dispose();
    }

    private (LinkedListNode<(int[] Tokens, IDecoderSequence Sequence)>? Node, int Common) Best(ReadOnlySpan<int> prompt)
    {
        (LinkedListNode<(int[], IDecoderSequence)>? Node, int Common) best = (null, 0);
        for (var node = _kept.First; node is not null; node = node.Next)
        {
            var common = prompt.CommonPrefixLength(node.Value.Tokens);
            if (common > best.Common)
                best = (node, common);
        }
        return best;
    }

    private IDecoderSequence Remove(LinkedListNode<(int[] Tokens, IDecoderSequence Sequence)> node)
    {
        _kept.Remove(node);
        Tokens -= node.Value.Tokens.Length;
        return node.Value.Sequence;
    }
}

namespace Qbb.Checkpoints;

/// <summary>
/// One tensor as Hugging Face has it and as llama.cpp's converter stores it: under another name, with rows in another order, turned round or counted
/// from one. What is read through a view is written through the same.
/// </summary>
/// <param name="Entry">Under Hugging Face's name, in its shape.</param>
/// <param name="StoredName">GGUF's name.</param>
/// <param name="InterleavedHeads">Heads whose rows are interleaved in the file; 0 where rows are in order.</param>
internal sealed record GgufView(TensorEntry Entry, string StoredName, int InterleavedHeads)
{
    /// <summary>Heads whose queries, keys and values lie together here and apart in the file; 0 for others.</summary>
    public int QkvHeads { get; init; }

    public bool IsTransposed { get; init; }

    /// <summary>Added to every element of the file.</summary>
    public float Offset { get; init; }

    public bool HasOwnRows => InterleavedHeads > 0 || QkvHeads > 0;

    /// <param name="architecture">Of the file.</param>
    /// <param name="heads">Of the model.</param>
    /// <param name="keyValueHeads">Of the model.</param>
    /// <param name="entry">The tensor as Hugging Face has it.</param>
    /// <param name="stored">GGUF's name.</param>
    /// <param name="where">The file, for messages.</param>
    /// <exception cref="InvalidInputException">Heads and rows disagree.</exception>
    public static GgufView Of(GgufArchitecture architecture, int heads, int keyValueHeads, TensorEntry entry, string stored, string where)
    {
        var interleaved = !architecture.InterleavesRotary ? 0
            : entry.Name.Contains(".q_proj.", StringComparison.Ordinal) ? heads
            : entry.Name.Contains(".k_proj.", StringComparison.Ordinal) ? keyValueHeads
            : 0;
        if (interleaved > 0)
            CheckShared(2 * interleaved, interleaved);
        var view = new GgufView(entry, stored, interleaved);
        if (architecture.NormsCountFromOne && stored.EndsWith("norm.weight", StringComparison.Ordinal))
            return view with { Offset = -1 };
        if (architecture.Transposes && stored.StartsWith("blk.", StringComparison.Ordinal) && entry.Shape.Count == 2)
            return view with { IsTransposed = true };
        if (!architecture.InterleavesQkv || !stored.Contains(".attn_qkv.", StringComparison.Ordinal))
            return view;
        CheckShared(3 * heads, heads);
        return view with { QkvHeads = heads };

        void CheckShared(int parts, int owners)
        {
            if (entry.Shape.Count == 0 || entry.Shape[0] == 0 || entry.Shape[0] % parts != 0)
                throw new InvalidInputException($"{where}: tensor {stored} of shape [{string.Join(", ", entry.Shape)}] cannot be shared by {owners} heads; the file is damaged");
        }
    }

    /// <summary>
    /// Row s·half + i of a head is stored as row 2i + s, for s in {0, 1} and half = half the head's rows. Row e of part p (queries, keys,
    /// values) of head h is stored behind the rows of the parts before p and of p's heads before h.
    /// </summary>
    public long StoredRow(long row)
    {
        if (QkvHeads > 0)
        {
            var size = Entry.Shape[0] / (3 * QkvHeads);
            var (whole, element) = Math.DivRem(row, size);
            return (whole % 3 * QkvHeads + whole / 3) * size + element;
        }
        if (InterleavedHeads == 0)
            return row;
        var headRows = Entry.Shape[0] / InterleavedHeads;
        var (head, inHead) = Math.DivRem(row, headRows);
        var (side, pair) = Math.DivRem(inHead, headRows / 2);
        return head * headRows + 2 * pair + side;
    }
}

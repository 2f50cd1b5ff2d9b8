namespace Qbb.Models.Tokenizers;

/// <summary>Collects what is delimiter and what is not, from left to right, and cuts a piece by a <see cref="SplitBehavior"/>.</summary>
internal ref struct PieceSplitter(TextPiece piece, SplitBehavior behavior, bool invert, List<TextPiece> output)
{
    private int end;
    private int pendingStart;
    private bool hasPending;
    private bool pendingIsDelimiter;

    /// <summary>Adds a delimiter; what lies between it and the one before is text.</summary>
    public void AddDelimiter(int start, int stop)
    {
        if (start > end)
            Add(end, start, invert);
        Add(start, stop, !invert);
        end = stop;
    }

    /// <summary>Ends the piece: what is left is text.</summary>
    public void Finish()
    {
        if (end < piece.Length)
            Add(end, piece.Length, invert);
        if (hasPending)
            Emit(pendingStart, piece.Length);
    }

    private void Add(int start, int stop, bool isDelimiter)
    {
        switch (behavior)
        {
            case SplitBehavior.Isolated:
                Emit(start, stop);
                return;
            case SplitBehavior.Removed:
                if (!isDelimiter)
                    Emit(start, stop);
                return;
        }
        // The rest join neighbours: a stretch stays open until one comes that does not join it.
        var joins = hasPending && behavior switch
        {
            SplitBehavior.Contiguous => isDelimiter == pendingIsDelimiter,
            SplitBehavior.MergedWithPrevious => isDelimiter && !pendingIsDelimiter,
            _ => pendingIsDelimiter && !isDelimiter,
        };
        if (!joins)
        {
            if (hasPending)
                Emit(pendingStart, start);
            pendingStart = start;
        }
        hasPending = true;
        pendingIsDelimiter = isDelimiter;
    }

    private readonly void Emit(int start, int stop)
    {
        if (stop > start)
            output.Add(piece.Slice(start, stop));
    }
}

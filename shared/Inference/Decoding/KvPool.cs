using Qbb.Bases.Cpu;

namespace Qbb.Inference.Decoding;

/// <summary>
/// Memory of keys and values in pages of 32 positions, which sequences share: of each block and head the keys as [head, positions], so that a
/// vector holds one element of neighbouring positions, and the values as [positions, head]; before them the scales of the positions. For one caller
/// at a time.
/// </summary>
/// <param name="blocks">Of the decoder.</param>
/// <param name="heads">Heads of keys and values.</param>
/// <param name="head">Elements of a head, rounded up to <see cref="Lanes"/>.</param>
/// <param name="elementBytes">1, 2 or 4.</param>
internal sealed unsafe class KvPool(int blocks, int heads, int head, int elementBytes) : IDisposable
{
    public const int Positions = 32;

    /// <summary>Heads of values begin at multiples of it.</summary>
    public const int Lanes = 16;

    private readonly Stack<KvPage> _free = [];

    /// <summary>Bytes of one head's keys, or values, in one block.</summary>
    private readonly long _headBytes = (long)Positions * (head * elementBytes + sizeof(float));

    /// <summary>Bytes of a page.</summary>
    public long PageBytes => 2L * blocks * heads * _headBytes;

    public KvPage Take()
    {
        var page = _free.TryPop(out var free) ? free : new KvPage(new AlignedBuffer(PageBytes));
        page.References = 1;
        return page;
    }

    public void Release(KvPage page)
    {
        if (--page.References == 0)
            _free.Push(page);
    }

    /// <summary>Bytes of the scales, before the keys or values of a head.</summary>
    public const int ScaleBytes = Positions * sizeof(float);

    public byte* Keys(KvPage page, int block, int group) => page.Buffer.Pointer + (2L * block * heads + group) * _headBytes;

    public byte* Values(KvPage page, int block, int group) => page.Buffer.Pointer + ((2L * block + 1) * heads + group) * _headBytes;

    public void Dispose()
    {
        while (_free.TryPop(out var page))
            page.Buffer.Dispose();
    }
}

/// <summary>Keys and values of 32 positions in all blocks.</summary>
internal sealed class KvPage(AlignedBuffer buffer)
{
    public AlignedBuffer Buffer => buffer;

    /// <summary>Sequences that have it.</summary>
    public int References { get; set; }
}

/// <summary>A sequence of a <see cref="CpuDecoder"/>.</summary>
internal sealed unsafe class PagedSequence(KvPool pool) : IDecoderSequence
{
    public List<int> Tokens { get; private init; } = [];

    public List<KvPage> Pages { get; } = [];

    public int Length => Tokens.Count;

    /// <summary>Makes room for another token, in a page that no other sequence has.</summary>
    public void Append(int token)
    {
        var (page, place) = Math.DivRem(Tokens.Count, KvPool.Positions);
        if (page == Pages.Count)
        {
            Pages.Add(pool.Take());
        }
        else if (Pages[page].References > 1)
        {
            var (shared, own) = (Pages[page], pool.Take());
            if (place > 0)
                Buffer.MemoryCopy(shared.Buffer.Pointer, own.Buffer.Pointer, pool.PageBytes, pool.PageBytes);
            pool.Release(shared);
            Pages[page] = own;
        }
        Tokens.Add(token);
    }

    public void Truncate(int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        Tokens.RemoveRange(length, Length - length);
        var pages = (length + KvPool.Positions - 1) / KvPool.Positions;
        while (Pages.Count > pages)
        {
            pool.Release(Pages[^1]);
            Pages.RemoveAt(Pages.Count - 1);
        }
    }

    public IDecoderSequence Fork()
    {
        var fork = new PagedSequence(pool) { Tokens = [.. Tokens] };
        foreach (var page in Pages)
        {
            page.References++;
            fork.Pages.Add(page);
        }
        return fork;
    }

    public void Dispose() => Truncate(0);
}

namespace Qbb.Bases.Cpu;

/// <summary>Memory of one thread for tables and sums, kept from call to call: large blocks fresh from the system cost a page fault each 4 KB.</summary>
internal sealed unsafe class TokenScratch : IDisposable
{
    [ThreadStatic]
    private static TokenScratch? s_current;

    private AlignedBuffer _buffer = new(0);
    private long _used;

    /// <summary>The calling thread's, empty.</summary>
    public static TokenScratch Begin(long bytes)
    {
        var scratch = s_current ??= new TokenScratch();
        scratch._used = 0;
        if (scratch._buffer.Bytes < bytes)
        {
            scratch._buffer.Dispose();
            scratch._buffer = new AlignedBuffer(bytes);
        }
        return scratch;
    }

    /// <summary>Bytes that <see cref="Take"/> uses for so many elements.</summary>
    public static long Rounded<T>(long count) where T : unmanaged => (count * sizeof(T) + 63) & ~63L;

    /// <summary>The next elements, aligned to a cache line; undefined content.</summary>
    public T* Take<T>(long count) where T : unmanaged
    {
        var first = _used;
        _used += Rounded<T>(count);
        if (_used > _buffer.Bytes)
            throw new InvalidOperationException($"{_used} bytes of scratch memory used, {_buffer.Bytes} requested");
        return (T*)(_buffer.Pointer + first);
    }

    public void Dispose() => _buffer.Dispose();
}

using System.Runtime.InteropServices;

namespace Qbb.Bases.Cpu;

/// <summary>Memory outside the collected heap that begins at a cache line: a load of 64 bytes never straddles two.</summary>
internal sealed unsafe class AlignedBuffer : SafeHandle
{
    private const int Line = 64;

    /// <param name="bytes">Size; the content is undefined.</param>
    public AlignedBuffer(long bytes) : base(0, ownsHandle: true)
    {
        Bytes = bytes;
        // A line more at the end, so that a wide load of the last few bytes stays inside.
        SetHandle((nint)NativeMemory.AlignedAlloc((nuint)bytes + Line, Line));
        GC.AddMemoryPressure(bytes + Line);
    }

    /// <summary>Size in bytes.</summary>
    public long Bytes { get; }

    /// <summary>First byte; valid while this object is reachable.</summary>
    public byte* Pointer => (byte*)handle;

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        NativeMemory.AlignedFree((void*)handle);
        GC.RemoveMemoryPressure(Bytes + Line);
        return true;
    }
}

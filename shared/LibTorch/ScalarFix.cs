using System.Runtime.InteropServices;

namespace Qbb.LibTorch;

/// <summary>
/// TorchSharp passes a Scalar's handle to libtorch without keeping the Scalar alive: a collection during the call lets the finalizer free the
/// number that the operator is about to read, and the operator then calculates with another (seen: a_.add_(b), whose factor 1 is such a
/// Scalar, failed once in some thousand calls beside a busy collector). Its function that frees a Scalar is led here, where the memory is
/// kept for seconds, longer than any call is between taking a number and reading it.
/// </summary>
internal static unsafe partial class ScalarFix
{
    private const long KeptFor = 2000;
    private static readonly Lock s_lock = new();
    private static List<nint> s_young = [], s_old = [];
    private static long s_turned = Environment.TickCount64;

    /// <summary>test rdi, rdi; je +45; mov eax, [rdi]: what THSTorch_dispose_scalar of TorchSharp 0.107.0 begins with.</summary>
    private static ReadOnlySpan<byte> Known => [0x48, 0x85, 0xff, 0x74, 0x2d, 0x8b, 0x07];

    /// <summary>Leads the function that frees a Scalar to ours.</summary>
    public static void Install(nint binding)
    {
        var code = (byte*)NativeLibrary.GetExport(binding, "THSTorch_dispose_scalar");
        if (!new ReadOnlySpan<byte>(code, Known.Length).SequenceEqual(Known))
            throw new TorchUnavailableException("libLibTorchSharp.so is not that of TorchSharp 0.107.0: take the one that make build put at out/libtorch");
        const int read = 1, write = 2, execute = 4;
        var page = (nint)code & ~(nint)(Environment.SystemPageSize - 1);
        var length = (nuint)((nint)code + 12 - page);
        if (mprotect(page, length, read | write | execute) != 0)
            throw new TorchUnavailableException($"libLibTorchSharp.so cannot be mended in memory: mprotect error {Marshal.GetLastPInvokeError()}; a security module may forbid it");
        // mov rax, address; jmp rax
        (code[0], code[1]) = (0x48, 0xb8);
        *(nint*)(code + 2) = (nint)(delegate* unmanaged<void*, void>)&Free;
        (code[10], code[11]) = (0xff, 0xe0);
        _ = mprotect(page, length, read | execute);
    }

    [UnmanagedCallersOnly]
    private static void Free(void* scalar)
    {
        if (scalar == null)
            return;
        lock (s_lock)
        {
            if (Environment.TickCount64 - s_turned > KeptFor)
            {
                // Numbers own nothing else: their memory is all there is to free.
                foreach (var number in s_old)
                    NativeMemory.Free((void*)number);
                s_old.Clear();
                (s_young, s_old) = (s_old, s_young);
                s_turned = Environment.TickCount64;
            }
            s_young.Add((nint)scalar);
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int mprotect(nint address, nuint length, int protection);
}

using System.Runtime.InteropServices;
using Qbb.Checkpoints;

namespace Qbb.Bench.Targets;

/// <summary>llama.cpp's own quantization of rows, by its library libggml-base.</summary>
internal sealed unsafe class GgmlQuantizer
{
    private readonly delegate* unmanaged[Cdecl]<int, float*, void*, long, long, long, float*, nuint> _quantize;

    /// <param name="library">Path of libggml-base.so.</param>
    /// <exception cref="InvalidInputException">It cannot be loaded.</exception>
    public GgmlQuantizer(string library)
    {
        if (!NativeLibrary.TryLoad(Path.GetFullPath(library), out var handle) || !NativeLibrary.TryGetExport(handle, "ggml_quantize_chunk", out var function))
            throw new InvalidInputException($"{library}: is not llama.cpp's libggml-base", "give that of tests/peers/llamacpp/node_modules after make npm-packages");
        _quantize = (delegate* unmanaged[Cdecl]<int, float*, void*, long, long, long, float*, nuint>)function;
    }

    /// <summary>Rounds rows to blocks of a type, without an importance matrix.</summary>
    public byte[] Encode(string type, ReadOnlySpan<float> rows, int columns)
    {
        var blocks = new byte[rows.Length / columns * GgmlPacking.RowBytes(type, columns)];
        fixed (float* from = rows)
        fixed (byte* to = blocks)
            _quantize((int)GgmlPacking.NumberOf(type), from, to, 0, rows.Length / columns, columns, null);
        return blocks;
    }
}

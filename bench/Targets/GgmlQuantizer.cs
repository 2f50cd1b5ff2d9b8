using System.Runtime.InteropServices;
using Qbb.Checkpoints;

namespace Qbb.Bench.Targets;

/// <summary>llama.cpp's own quantization of rows, by its library libggml-base.</summary>
internal sealed unsafe class GgmlQuantizer
{
    private readonly delegate* unmanaged[Cdecl]<int, float*, void*, long, long, long, float*, nuint> _quantize;
    private readonly nint _library;

    /// <param name="library">Path of libggml-base.so.</param>
    /// <exception cref="InvalidInputException">It cannot be loaded.</exception>
    public GgmlQuantizer(string library)
    {
        if (!NativeLibrary.TryLoad(Path.GetFullPath(library), out var handle) || !NativeLibrary.TryGetExport(handle, "ggml_quantize_chunk", out var function))
            throw new InvalidInputException($"{library}: is not llama.cpp's libggml-base", "give that of tests/peers/llamacpp/node_modules after make npm-packages");
        _library = handle;
        _quantize = (delegate* unmanaged[Cdecl]<int, float*, void*, long, long, long, float*, nuint>)function;
    }

    /// <summary>Rounds rows to blocks of a type.</summary>
    /// <param name="type">ggml's name of it.</param>
    /// <param name="rows">Whole rows.</param>
    /// <param name="columns">Of a row.</param>
    /// <param name="importance">What an error in each column counts; empty for none.</param>
    public byte[] Encode(string type, ReadOnlySpan<float> rows, int columns, ReadOnlySpan<float> importance = default)
    {
        var blocks = new byte[rows.Length / columns * GgmlPacking.RowBytes(type, columns)];
        fixed (float* from = rows)
        fixed (byte* to = blocks)
        fixed (float* weights = importance)
            _quantize((int)GgmlPacking.NumberOf(type), from, to, 0, rows.Length / columns, columns, weights);
        return blocks;
    }

    /// <summary>The numbers of blocks, by the library's own expansion.</summary>
    public float[] Decode(string type, ReadOnlySpan<byte> blocks, int count)
    {
        var name = "dequantize_row_" + (type.EndsWith("_K", StringComparison.Ordinal) ? type.ToLowerInvariant()[..^1] + "K" : type.ToLowerInvariant());
        var decode = (delegate* unmanaged[Cdecl]<void*, float*, long, void>)NativeLibrary.GetExport(_library, name);
        var values = new float[count];
        fixed (byte* from = blocks)
        fixed (float* to = values)
            decode(from, to, count);
        return values;
    }
}

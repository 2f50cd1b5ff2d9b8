using System.Runtime.InteropServices;
using System.Text.Json.Nodes;

namespace Qbb.Checkpoints;

/// <summary>How embedding and head are stored, other than plain.</summary>
/// <param name="GroupSize">Columns that share a scale; the last group of a row may be shorter.</param>
/// <param name="Columns">Of a row.</param>
public abstract record MatrixForm(int GroupSize, int Columns)
{
    /// <summary>Scales of a row.</summary>
    public int Groups => (Columns - 1) / GroupSize + 1;

    /// <summary>What an expanded matrix has for a type.</summary>
    public abstract string Type { get; }

    /// <summary>The module of which this tensor is the first; null for other tensors.</summary>
    public abstract string? ModuleOf(string tensor);

    /// <summary>The tensors of a matrix in the order of the file.</summary>
    /// <param name="module">Its name without a suffix.</param>
    /// <param name="rows">Its rows.</param>
    /// <param name="exponent">Whether its scales have a common power of two.</param>
    public abstract IEnumerable<TensorDeclaration> Declare(string module, long rows, bool exponent);

    /// <summary>Columns [column, column + destination.Length) of one row.</summary>
    /// <param name="stored">The file.</param>
    /// <param name="module">The matrix.</param>
    /// <param name="row">Which.</param>
    /// <param name="column">The first.</param>
    /// <param name="factor">2^exponent of its scales.</param>
    /// <param name="destination">Gets the numbers.</param>
    public abstract void Read(ITensorSource stored, string module, long row, int column, float factor, Span<float> destination);

    /// <summary>As <see cref="QbbFormat.Embedding"/> reads it.</summary>
    public abstract JsonObject ToJson();

    private protected static void ReadScales(ITensorSource stored, string name, long first, Span<Half> scales) =>
        stored.ReadBytes(name, first * sizeof(ushort), MemoryMarshal.AsBytes(scales));
}

/// <summary>Integers with a scale per group: <c>.q8</c>, <c>.q6</c> or <c>.q4</c>, and <c>.q8_scale</c> alike.</summary>
/// <param name="Bits">Of an integer: 4, 6 or 8.</param>
/// <param name="GroupSize">Columns that share a scale.</param>
/// <param name="Columns">Of a row.</param>
public sealed record IntegerForm(int Bits, int GroupSize, int Columns) : MatrixForm(GroupSize, Columns)
{
    /// <inheritdoc/>
    public override string Type => $"Q{Bits}";

    /// <summary>Bytes of a row's integers.</summary>
    public int RowBytes => IntegerPacking.RowBytes(Columns, Bits);

    /// <summary>Name of the integers.</summary>
    public string Values(string module) => $"{module}.q{Bits}";

    /// <summary>Name of the scales.</summary>
    public string Scales(string module) => $"{module}.q{Bits}_scale";

    /// <inheritdoc/>
    public override string? ModuleOf(string tensor) => tensor.EndsWith(Values(""), StringComparison.Ordinal) ? tensor[..^Values("").Length] : null;

    /// <inheritdoc/>
    public override IEnumerable<TensorDeclaration> Declare(string module, long rows, bool exponent)
    {
        yield return new(Values(module), Bits == 8 ? "I8" : "U8", [rows, RowBytes]);
        yield return new(Scales(module), "F16", [rows, Groups]);
        if (exponent)
            yield return new(ScaleExponent.NameOf(module), "I32", [1]);
    }

    /// <inheritdoc/>
    public override void Read(ITensorSource stored, string module, long row, int column, float factor, Span<float> destination)
    {
        Span<byte> packed = RowBytes <= 4096 ? stackalloc byte[RowBytes] : new byte[RowBytes];
        Span<sbyte> integers = destination.Length <= 4096 ? stackalloc sbyte[destination.Length] : new sbyte[destination.Length];
        Span<Half> scales = Groups <= 512 ? stackalloc Half[Groups] : new Half[Groups];
        stored.ReadBytes(Values(module), row * RowBytes, packed);
        ReadScales(stored, Scales(module), row * Groups, scales);
        IntegerPacking.Unpack(packed, Bits, column, integers);
        for (var k = 0; k < integers.Length;)
        {
            var group = (column + k) / GroupSize;
            var scale = (float)scales[group] * factor;
            var last = (int)Math.Min(integers.Length, (group + 1L) * GroupSize - column);
            for (; k < last; k++)
                destination[k] = integers[k] * scale;
        }
    }

    /// <inheritdoc/>
    public override JsonObject ToJson() => new() { ["bits"] = Bits, ["group_size"] = GroupSize, ["columns"] = Columns };
}

/// <summary>Sums of binary matrices, stored as those of the layers are: <c>.planes</c>, <c>.alpha</c> and <c>.beta</c>.</summary>
/// <param name="Bases">N.</param>
/// <param name="Bias">Whether groups have a β.</param>
/// <param name="Modules">The names of embedding and head, since layers have tensors of the same kind.</param>
/// <param name="GroupSize">Columns that share a scale.</param>
/// <param name="Columns">Of a row.</param>
public sealed record BasesForm(int Bases, bool Bias, IReadOnlyList<string> Modules, int GroupSize, int Columns) : MatrixForm(GroupSize, Columns)
{
    private const string Planes = ".planes", Alpha = ".alpha", Beta = ".beta";

    /// <inheritdoc/>
    public override string Type => "BASES";

    private int Words => (Columns + 31) / 32;

    /// <inheritdoc/>
    public override string? ModuleOf(string tensor) => Modules.FirstOrDefault(module => tensor == module + Planes);

    /// <inheritdoc/>
    public override IEnumerable<TensorDeclaration> Declare(string module, long rows, bool exponent)
    {
        yield return new(module + Planes, "I32", [Bases, rows, Words]);
        yield return new(module + Alpha, "F16", [Bases, rows, Groups]);
        if (Bias)
            yield return new(module + Beta, "F16", [rows, Groups]);
        if (exponent)
            yield return new(ScaleExponent.NameOf(module), "I32", [1]);
    }

    /// <inheritdoc/>
    public override void Read(ITensorSource stored, string module, long row, int column, float factor, Span<float> destination)
    {
        var rows = stored.Describe(module + Planes).Shape[1];
        var (words, scales) = (new uint[Words], new Half[Groups]);
        destination.Clear();
        if (Bias)
        {
            ReadScales(stored, module + Beta, row * Groups, scales);
            for (var k = 0; k < destination.Length; k++)
                destination[k] = (float)scales[(column + k) / GroupSize] * factor;
        }
        for (var basis = 0; basis < Bases; basis++)
        {
            stored.ReadBytes(module + Planes, (basis * rows + row) * Words * sizeof(uint), MemoryMarshal.AsBytes(words.AsSpan()));
            ReadScales(stored, module + Alpha, (basis * rows + row) * Groups, scales);
            for (var k = 0; k < destination.Length; k++)
            {
                var alpha = (float)scales[(column + k) / GroupSize] * factor;
                destination[k] += (words[(column + k) >> 5] >> (column + k & 31) & 1) != 0 ? alpha : -alpha;
            }
        }
    }

    /// <inheritdoc/>
    public override JsonObject ToJson() => new()
    {
        ["bases"] = Bases,
        ["bias"] = Bias,
        ["modules"] = new JsonArray([.. Modules.Select(module => (JsonNode)module)]),
        ["group_size"] = GroupSize,
        ["columns"] = Columns,
    };
}

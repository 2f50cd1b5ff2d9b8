namespace Qbb.Checkpoints;

/// <summary>
/// A checkpoint of GPTQ, AWQ, compressed-tensors or HQQ as the matrices that it stands for: where the file has a packed module there is a tensor
/// MODULE.weight, dequantised as its library does. All other tensors are those of the file.
/// </summary>
public sealed class PackedTensors : ITensorSource
{
    private readonly PackedFormat _format;
    private readonly Dictionary<string, Packed> _matrices = new(StringComparer.Ordinal);

    /// <param name="stored">The file; owned.</param>
    /// <param name="format">How its matrices are stored.</param>
    /// <exception cref="InvalidInputException">A matrix lacks a tensor, or has one of another type or shape; the message names it.</exception>
    public PackedTensors(ITensorSource stored, PackedFormat format)
    {
        (Stored, _format) = (stored, format);
        var parts = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var module in stored.Entries.Select(entry => format.ModuleOf(entry.Name)).OfType<string>())
        {
            var names = format.Suffixes.Select(suffix => module + suffix).Where(stored.Contains).ToList();
            names.ForEach(name => parts[name] = module);
            var (rows, columns) = format.ShapeOf(stored, module);
            if (rows * columns > Array.MaxLength)
                throw new InvalidInputException($"{module} has {rows * columns} weights; at most {Array.MaxLength} can be read at once");
            var matrix = new TensorEntry(module + ".weight", format.Name, [rows, columns], names.Sum(name => stored.Describe(name).Bytes));
            if (stored.Contains(matrix.Name))
                throw new InvalidInputException($"the checkpoint has both {matrix.Name} and {names[0]}", "take one of them out");
            _matrices.Add(matrix.Name, new(module, matrix));
        }
        Entries = [.. stored.Entries.Where(entry => !parts.ContainsKey(entry.Name) || format.ModuleOf(entry.Name) is not null)
            .Select(entry => parts.TryGetValue(entry.Name, out var module) ? _matrices[module + ".weight"].Entry : entry)];
    }

    /// <summary>The tensors as they are in the file.</summary>
    public ITensorSource Stored { get; }

    /// <summary>Names of the packed matrices.</summary>
    public IEnumerable<string> Matrices => _matrices.Keys;

    /// <inheritdoc/>
    public IReadOnlyList<TensorEntry> Entries { get; }

    /// <summary>Integers, scales and zero points of a matrix; null for plain tensors.</summary>
    /// <exception cref="InvalidInputException">The matrix is damaged.</exception>
    public PackedWeight? TryRead(string name)
    {
        if (!_matrices.TryGetValue(name, out var matrix))
            return null;
        // Readers come piece by piece; between the pieces a matrix stays as long as memory allows.
        if (matrix.Cached?.TryGetTarget(out var weight) == true)
            return weight;
        weight = _format.Read(Stored, matrix.Module);
        matrix.Cached = new(weight);
        return weight;
    }

    /// <inheritdoc/>
    public bool Contains(string name) => _matrices.ContainsKey(name) || Stored.Contains(name);

    /// <inheritdoc/>
    public TensorEntry Describe(string name) => _matrices.TryGetValue(name, out var matrix) ? matrix.Entry : Stored.Describe(name);

    /// <inheritdoc/>
    public void ReadFloat(string name, long first, Span<float> destination)
    {
        if (!_matrices.TryGetValue(name, out var matrix))
        {
            Stored.ReadFloat(name, first, destination);
            return;
        }
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, matrix.Entry.Count - first, nameof(destination));
        if (destination.Length > 0)
            TryRead(name)!.Dequantize(first, destination);
    }

    /// <inheritdoc/>
    public unsafe bool TryGetPointer(string name, out byte* pointer)
    {
        pointer = null;
        return !_matrices.ContainsKey(name) && Stored.TryGetPointer(name, out pointer);
    }

    /// <inheritdoc/>
    public void ReadBytes(string name, long first, Span<byte> destination)
    {
        if (_matrices.TryGetValue(name, out var matrix))
            throw new InvalidInputException($"tensor {name} ({matrix.Entry.Type}) has no plain bytes; read it as floats");
        Stored.ReadBytes(name, first, destination);
    }

    /// <inheritdoc/>
    public void Dispose() => Stored.Dispose();

    private sealed class Packed(string module, TensorEntry entry)
    {
        public string Module => module;

        public TensorEntry Entry => entry;

        public WeakReference<PackedWeight>? Cached { get; set; }
    }
}

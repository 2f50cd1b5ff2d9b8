namespace Qbb.Checkpoints;

/// <summary>
/// Embedding and head of a quantized model as the matrices that they stand for: where the file has MODULE.q8 and its scales there is a tensor
/// MODULE.weight, expanded as it is read. All other tensors are those of the file.
/// </summary>
public sealed class QuantizedTensors : ITensorSource
{
    private readonly MatrixForm _form;
    private readonly Dictionary<string, (TensorEntry Entry, string Module, float Factor)> _matrices = new(StringComparer.Ordinal);

    /// <param name="stored">The file; owned.</param>
    /// <param name="form">How its matrices are stored.</param>
    /// <exception cref="InvalidInputException">A matrix has a tensor of another type or shape; the message names it.</exception>
    public QuantizedTensors(ITensorSource stored, MatrixForm form)
    {
        (Stored, _form) = (stored, form);
        var (entries, parts) = (new List<TensorEntry>(), new HashSet<string>(StringComparer.Ordinal));
        foreach (var entry in stored.Entries)
        {
            if (form.ModuleOf(entry.Name) is not { } module)
                continue;
            // The rows are the last but one dimension of integers and of planes alike.
            var rows = entry.Shape.Count >= 2 ? entry.Shape[^2] : 0;
            var tensors = Check(module, rows);
            parts.UnionWith(tensors.Select(tensor => tensor.Name));
            var matrix = new TensorEntry(module + ".weight", form.Type, [rows, form.Columns], tensors.Sum(tensor => stored.Describe(tensor.Name).Bytes));
            _matrices.Add(matrix.Name, (matrix, module, ScaleExponent.Factor(ScaleExponent.Read(stored, module))));
        }
        foreach (var entry in stored.Entries)
        {
            if (!parts.Contains(entry.Name))
                entries.Add(entry);
            else if (form.ModuleOf(entry.Name) is { } module)
                entries.Add(_matrices[module + ".weight"].Entry);
        }
        Entries = entries;
    }

    /// <summary>The tensors as they are in the file.</summary>
    public ITensorSource Stored { get; }

    /// <summary>How the matrices are stored.</summary>
    public MatrixForm Form => _form;

    /// <summary>Whether a module is one of the matrices.</summary>
    public bool IsQuantized(string module) => _matrices.ContainsKey(module + ".weight");

    /// <inheritdoc/>
    public IReadOnlyList<TensorEntry> Entries { get; }

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
        while (destination.Length > 0)
        {
            var (row, column) = Math.DivRem(first, _form.Columns);
            var count = (int)Math.Min(destination.Length, _form.Columns - column);
            _form.Read(Stored, matrix.Module, row, (int)column, matrix.Factor, destination[..count]);
            destination = destination[count..];
            first += count;
        }
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

    private List<TensorDeclaration> Check(string module, long rows)
    {
        var tensors = _form.Declare(module, rows, Stored.Contains(ScaleExponent.NameOf(module))).ToList();
        foreach (var (name, type, shape) in tensors)
        {
            var entry = Stored.Describe(name);
            if (entry.Type != type || !entry.Shape.SequenceEqual(shape))
            {
                throw new InvalidInputException($"{name} is {entry.Type} [{string.Join(", ", entry.Shape)}] where config.json's "
                    + $"quantization_config.embedding asks for {type} [{string.Join(", ", shape)}]");
            }
        }
        return tensors;
    }
}

namespace Qbb.Checkpoints;

/// <summary>Where llama.cpp's converter puts the tensors of a Hugging Face model: what <see cref="GgufTensors"/> undoes.</summary>
public sealed class GgufPlaces
{
    private readonly GgufArchitecture _architecture;
    private readonly int _heads;
    private readonly int _keyValueHeads;

    /// <param name="modelType">model_type of config.json.</param>
    /// <param name="heads">Attention heads.</param>
    /// <param name="keyValueHeads">Heads of keys and values.</param>
    /// <exception cref="InvalidInputException">The model type has no architecture that is known; the message lists those that have.</exception>
    public GgufPlaces(string modelType, int heads, int keyValueHeads)
    {
        _architecture = GgufArchitecture.OfModelType(modelType) ?? throw new InvalidInputException(
            $"models of type {modelType} cannot be written as GGUF; known are {string.Join(", ", GgufArchitecture.ModelTypes)}", "use --format fp16, which every model has");
        (_heads, _keyValueHeads) = (heads, keyValueHeads);
    }

    /// <summary>The value of general.architecture.</summary>
    public string Architecture => _architecture.Name;

    /// <summary>The key of the norms' epsilon, without the architecture.</summary>
    public string EpsilonKey => _architecture.EpsilonKey;

    /// <summary>The place of a tensor.</summary>
    /// <param name="entry">As Hugging Face has it.</param>
    /// <exception cref="InvalidInputException">It has none.</exception>
    public GgufPlace Of(TensorEntry entry)
    {
        var name = _architecture.GgufName(entry.Name)
            ?? throw new InvalidInputException($"tensor {entry.Name} has no place in a GGUF file of architecture {Architecture}", "use --format fp16");
        return new GgufPlace(GgufView.Of(_architecture, _heads, _keyValueHeads, entry, name, entry.Name));
    }
}

/// <summary>The place of one tensor in a GGUF file.</summary>
public sealed class GgufPlace
{
    private readonly GgufView _view;
    private readonly int[]? _sourceRows;

    internal GgufPlace(GgufView view)
    {
        _view = view;
        if (!view.HasOwnRows)
            return;
        _sourceRows = new int[view.Entry.Shape[0]];
        for (var row = 0; row < _sourceRows.Length; row++)
            _sourceRows[view.StoredRow(row)] = row;
    }

    /// <summary>Hugging Face's name.</summary>
    public string SourceName => _view.Entry.Name;

    /// <summary>GGUF's name.</summary>
    public string Name => _view.StoredName;

    /// <summary>As stored, outermost dimension first.</summary>
    public IReadOnlyList<long> Shape => _view.IsTransposed ? [.. _view.Entry.Shape.Reverse()] : _view.Entry.Shape;

    /// <summary>The row of Hugging Face's [out, in] that is stored as one row of the file.</summary>
    public int SourceRow(int stored) => _sourceRows is null ? stored : _sourceRows[stored];

    /// <summary>Reads stored rows of a matrix, or stored elements of a vector, as floats.</summary>
    /// <param name="source">The model.</param>
    /// <param name="first">The first row or element.</param>
    /// <param name="destination">Whole rows.</param>
    public void Read(ITensorSource source, long first, Span<float> destination)
    {
        var width = Shape.Count == 1 ? 1 : Shape[^1];
        for (var row = 0; row * width < destination.Length; row++)
        {
            var line = destination.Slice((int)(row * width), (int)width);
            if (!_view.IsTransposed)
            {
                if (_sourceRows is null)
                {
                    source.ReadFloat(_view.Entry.Name, first * width, destination);
                    break;
                }
                source.ReadFloat(_view.Entry.Name, SourceRow((int)first + row) * width, line);
                continue;
            }
            for (var column = 0; column < line.Length; column++)
                source.ReadFloat(_view.Entry.Name, column * Shape[0] + first + row, line.Slice(column, 1));
        }
        foreach (ref var value in destination)
            value -= _view.Offset;
    }
}

namespace Qbb.Checkpoints;

/// <summary>
/// The tensors of a GGUF file under Hugging Face's names, in Hugging Face's order and with its numbers. Rotary factors are no weights and
/// left out; <see cref="GgufConfig"/> turns them into rope scaling.
/// </summary>
public sealed class GgufTensors : ITensorSource
{
    private readonly GgufFile file;
    private readonly Dictionary<string, GgufView> views;

    private GgufTensors(GgufFile file, IReadOnlyList<GgufView> views)
    {
        this.file = file;
        this.views = views.ToDictionary(view => view.Entry.Name, StringComparer.Ordinal);
        Entries = [.. views.Select(view => view.Entry)];
    }

    /// <inheritdoc/>
    public IReadOnlyList<TensorEntry> Entries { get; }

    /// <param name="file">Owned by the result when this returns.</param>
    /// <exception cref="InvalidInputException">The architecture or a tensor's name is not known, or heads and rows disagree.</exception>
    public static GgufTensors Create(GgufFile file)
    {
        var architecture = GgufArchitecture.Of(file);
        var parameters = new GgufParameters(file, architecture);
        var views = new List<GgufView>();
        foreach (var entry in file.Entries.Where(entry => !GgufArchitecture.IsRopeFactors(entry.Name)))
        {
            var name = architecture.HuggingFaceName(entry.Name)
                ?? throw new InvalidInputException(
                    $"{file.Path}: tensor {Printable.Name(entry.Name)} has no place in a {architecture.Name} model without experts, "
                        + "which is all that can be read of GGUF; give the model as a Hugging Face folder instead");
            views.Add(GgufView.Of(architecture, parameters.Heads, parameters.KeyValueHeads, Turned(architecture, entry) with { Name = name }, entry.Name, file.Path));
        }
        return new(file, views);
    }

    /// <summary>The shape that Hugging Face has, whichever way round the file does.</summary>
    private static TensorEntry Turned(GgufArchitecture architecture, TensorEntry entry) =>
        architecture.Transposes && entry.Shape.Count == 2 && entry.Name.StartsWith("blk.", StringComparison.Ordinal)
            ? entry with { Shape = [entry.Shape[1], entry.Shape[0]] } : entry;

    /// <inheritdoc/>
    public bool Contains(string name) => views.ContainsKey(name);

    /// <inheritdoc/>
    public TensorEntry Describe(string name) => Find(name).Entry;

    /// <inheritdoc/>
    public void ReadFloat(string name, long first, Span<float> destination)
    {
        var view = Find(name);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, view.Entry.Count - first, nameof(destination));
        if (destination.IsEmpty)
            file.ReadFloat(view.StoredName, 0, []);
        else if (view.IsTransposed)
            ReadTransposed(view, first, destination);
        else if (view.HasOwnRows)
            ReadRows(view, first, destination);
        else
            file.ReadFloat(view.StoredName, first, destination);
        if (view.Offset != 0)
        {
            for (var i = 0; i < destination.Length; i++)
                destination[i] += view.Offset;
        }
    }

    private void ReadRows(GgufView view, long first, Span<float> destination)
    {
        var rowLength = view.Entry.Count / view.Entry.Shape[0];
        while (!destination.IsEmpty)
        {
            var (row, column) = Math.DivRem(first, rowLength);
            var count = (int)Math.Min(rowLength - column, destination.Length);
            file.ReadFloat(view.StoredName, view.StoredRow(row) * rowLength + column, destination[..count]);
            first += count;
            destination = destination[count..];
        }
    }

    /// <summary>Whole rows of the view at once where the range holds them: they are columns of the file.</summary>
    private void ReadTransposed(GgufView view, long first, Span<float> destination)
    {
        var (rows, columns) = (view.Entry.Shape[0], view.Entry.Shape[1]);
        while (!destination.IsEmpty)
        {
            var (row, column) = Math.DivRem(first, columns);
            var count = column == 0 ? Math.Max(1, (int)(destination.Length / columns)) : 1;
            var width = (int)Math.Min(columns - column, destination.Length);
            var piece = new float[count];
            for (var j = 0; j < width; j++)
            {
                file.ReadFloat(view.StoredName, (column + j) * rows + row, piece);
                for (var i = 0; i < count; i++)
                    destination[i * (int)columns + j] = piece[i];
            }
            var done = count == 1 ? width : count * (int)columns;
            first += done;
            destination = destination[done..];
        }
    }

    /// <inheritdoc/>
    public unsafe bool TryGetPointer(string name, out byte* pointer)
    {
        var view = Find(name);
        pointer = null;
        return view is { HasOwnRows: false, IsTransposed: false, Offset: 0 } && file.TryGetPointer(view.StoredName, out pointer);
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    private GgufView Find(string name) => views.TryGetValue(name, out var view)
        ? view
        : throw new InvalidInputException($"{file.Path}: there is no tensor {name}");
}

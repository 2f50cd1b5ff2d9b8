namespace Qbb.Checkpoints;

/// <summary>
/// The tensors of a GGUF file under Hugging Face's names, in Hugging Face's order and with its numbers. Rotary factors are no weights and
/// left out; <see cref="GgufConfig"/> turns them into rope scaling.
/// </summary>
public sealed class GgufTensors : ITensorSource
{
    private readonly GgufFile file;
    private readonly Dictionary<string, View> views;

    private GgufTensors(GgufFile file, IReadOnlyList<View> views)
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
        var views = new List<View>();
        foreach (var entry in file.Entries.Where(entry => !GgufArchitecture.IsRopeFactors(entry.Name)))
        {
            var name = architecture.HuggingFaceName(entry.Name)
                ?? throw new InvalidInputException(
                    $"{file.Path}: tensor {Printable.Name(entry.Name)} has no place in a {architecture.Name} model without experts, "
                        + "which is all that can be read of GGUF; give the model as a Hugging Face folder instead");
            var heads = !architecture.InterleavesRotary ? 0
                : name.Contains(".q_proj.", StringComparison.Ordinal) ? parameters.Heads
                : name.Contains(".k_proj.", StringComparison.Ordinal) ? parameters.KeyValueHeads
                : 0;
            if (heads > 0 && (entry.Shape.Count == 0 || entry.Shape[0] == 0 || entry.Shape[0] % (2 * heads) != 0))
                throw new InvalidInputException(
                    $"{file.Path}: tensor {entry.Name} of shape [{string.Join(", ", entry.Shape)}] cannot be shared by {heads} heads; "
                        + "the file is damaged");
            views.Add(Turned(file, architecture, parameters, entry, name, heads));
        }
        return new(file, views);
    }

    /// <summary>A tensor as Hugging Face has it, whichever way round the file does.</summary>
    private static View Turned(GgufFile file, GgufArchitecture architecture, GgufParameters parameters, TensorEntry entry, string name, int heads)
    {
        var inBlock = entry.Name.StartsWith("blk.", StringComparison.Ordinal);
        var view = new View(entry with { Name = name }, entry.Name, heads);
        if (architecture.NormsCountFromOne && entry.Name.EndsWith("norm.weight", StringComparison.Ordinal))
            return view with { Offset = -1 };
        if (architecture.Transposes && inBlock && entry.Shape.Count == 2)
            return view with { Entry = view.Entry with { Shape = [entry.Shape[1], entry.Shape[0]] }, IsTransposed = true };
        if (!architecture.InterleavesQkv || !entry.Name.Contains(".attn_qkv.", StringComparison.Ordinal))
            return view;
        if (entry.Shape.Count == 0 || entry.Shape[0] == 0 || entry.Shape[0] % (3 * parameters.Heads) != 0)
            throw new InvalidInputException($"{file.Path}: tensor {entry.Name} of shape [{string.Join(", ", entry.Shape)}] cannot be shared by {parameters.Heads} heads; "
                + "the file is damaged");
        return view with { QkvHeads = parameters.Heads };
    }

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

    private void ReadRows(View view, long first, Span<float> destination)
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
    private void ReadTransposed(View view, long first, Span<float> destination)
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

    private View Find(string name) => views.TryGetValue(name, out var view)
        ? view
        : throw new InvalidInputException($"{file.Path}: there is no tensor {name}");

    /// <param name="Entry">Under Hugging Face's name.</param>
    /// <param name="StoredName">GGUF's name.</param>
    /// <param name="InterleavedHeads">Heads whose rows are interleaved in the file; 0 where rows are in order.</param>
    private sealed record View(TensorEntry Entry, string StoredName, int InterleavedHeads)
    {
        /// <summary>Heads whose queries, keys and values lie together here and apart in the file; 0 for others.</summary>
        public int QkvHeads { get; init; }

        public bool IsTransposed { get; init; }

        /// <summary>Added to every element.</summary>
        public float Offset { get; init; }

        public bool HasOwnRows => InterleavedHeads > 0 || QkvHeads > 0;

        /// <summary>
        /// Row s·half + i of a head is stored as row 2i + s, for s in {0, 1} and half = half the head's rows. Row e of part p (queries, keys,
        /// values) of head h is stored behind the rows of the parts before p and of p's heads before h.
        /// </summary>
        public long StoredRow(long row)
        {
            if (QkvHeads > 0)
            {
                var size = Entry.Shape[0] / (3 * QkvHeads);
                var (whole, element) = Math.DivRem(row, size);
                return (whole % 3 * QkvHeads + whole / 3) * size + element;
            }
            var headRows = Entry.Shape[0] / InterleavedHeads;
            var (head, inHead) = Math.DivRem(row, headRows);
            var (side, pair) = Math.DivRem(inHead, headRows / 2);
            return head * headRows + 2 * pair + side;
        }
    }
}

namespace Qbb.Checkpoints;

/// <summary>
/// The tensors of a GGUF file under Hugging Face's names, rows in Hugging Face's order. Architectures: llama (Mistral too), qwen2, qwen3.
/// <c>rope_freqs.weight</c> is no weight and left out; <see cref="GgufConfig"/> turns it into rope scaling.
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
        foreach (var entry in file.Entries.Where(entry => entry.Name != GgufArchitecture.RopeFactors))
        {
            var name = GgufArchitecture.HuggingFaceName(entry.Name)
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
            views.Add(new(entry with { Name = name }, entry.Name, heads));
        }
        return new(file, views);
    }

    /// <inheritdoc/>
    public bool Contains(string name) => views.ContainsKey(name);

    /// <inheritdoc/>
    public TensorEntry Describe(string name) => Find(name).Entry;

    /// <inheritdoc/>
    public void ReadFloat(string name, long first, Span<float> destination)
    {
        var view = Find(name);
        if (view.InterleavedHeads == 0)
        {
            file.ReadFloat(view.StoredName, first, destination);
            return;
        }
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, view.Entry.Count - first, nameof(destination));
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

    /// <inheritdoc/>
    public unsafe bool TryGetPointer(string name, out byte* pointer)
    {
        var view = Find(name);
        pointer = null;
        return view.InterleavedHeads == 0 && file.TryGetPointer(view.StoredName, out pointer);
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
        /// <summary>Row s·half + i of a head is stored as row 2i + s, for s in {0, 1} and half = half the head's rows.</summary>
        public long StoredRow(long row)
        {
            var headRows = Entry.Shape[0] / InterleavedHeads;
            var (head, inHead) = Math.DivRem(row, headRows);
            var (side, pair) = Math.DivRem(inHead, headRows / 2);
            return head * headRows + 2 * pair + side;
        }
    }
}

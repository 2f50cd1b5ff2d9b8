namespace Qbb.Checkpoints;

/// <summary>A checkpoint in several safetensors files with an index. Tensors that the index does not list are not seen.</summary>
public sealed class SafetensorsShards : ITensorSource
{
    private readonly string indexPath;
    private readonly IReadOnlyList<SafetensorsFile> files;
    private readonly Dictionary<string, SafetensorsFile> owners;

    private SafetensorsShards(string indexPath, IReadOnlyList<SafetensorsFile> files, Dictionary<string, SafetensorsFile> owners)
    {
        (this.indexPath, this.files, this.owners) = (indexPath, files, owners);
        Entries = [.. files.SelectMany(file => file.Entries.Where(entry => owners.GetValueOrDefault(entry.Name) == file))];
    }

    /// <summary>The index and its shards.</summary>
    public IReadOnlyList<string> Files => [indexPath, .. files.Select(file => file.Path)];

    /// <summary>Shard by shard in the order of their names, within each in file order.</summary>
    public IReadOnlyList<TensorEntry> Entries { get; }

    /// <param name="indexPath">Usually <c>model.safetensors.index.json</c>.</param>
    /// <exception cref="InvalidInputException">The index or a shard is damaged or missing, or a listed tensor is in no shard.</exception>
    public static SafetensorsShards Open(string indexPath)
    {
        var map = ShardIndex.Read(indexPath);
        var folder = Path.GetDirectoryName(Path.GetFullPath(indexPath))!;
        var shards = map.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToList();
        var missing = shards.Where(shard => !File.Exists(Path.Combine(folder, shard))).ToList();
        if (missing.Count > 0)
            throw new InvalidInputException(
                $"{indexPath}: {missing.Count} of {shards.Count} shards are missing: "
                    + $"{string.Join(", ", missing.Take(5).Select(Printable.Name))}{(missing.Count > 5 ? ", …" : "")}; download them "
                    + $"into {folder}");
        var open = new Dictionary<string, SafetensorsFile>(StringComparer.Ordinal);
        try
        {
            foreach (var shard in shards)
                open.Add(shard, SafetensorsFile.Open(Path.Combine(folder, shard)));
            foreach (var (tensor, shard) in map)
            {
                if (!open[shard].Contains(tensor))
                    throw new InvalidInputException(
                        $"{indexPath}: tensor {Printable.Name(tensor)} is listed in {shard} but is not there; the index and the shards "
                            + "do not belong together");
            }
            return new(indexPath, [.. open.Values], map.ToDictionary(pair => pair.Key, pair => open[pair.Value], StringComparer.Ordinal));
        }
        catch
        {
            foreach (var file in open.Values)
                file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public bool Contains(string name) => owners.ContainsKey(name);

    /// <inheritdoc/>
    public TensorEntry Describe(string name) => Find(name).Describe(name);

    /// <inheritdoc/>
    public void ReadFloat(string name, long first, Span<float> destination) => Find(name).ReadFloat(name, first, destination);

    /// <inheritdoc/>
    public unsafe bool TryGetPointer(string name, out byte* pointer) => Find(name).TryGetPointer(name, out pointer);

    /// <inheritdoc/>
    public void ReadBytes(string name, long first, Span<byte> destination) => Find(name).ReadBytes(name, first, destination);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var file in files)
            file.Dispose();
    }

    private SafetensorsFile Find(string name) => owners.TryGetValue(name, out var file)
        ? file
        : throw new InvalidInputException($"{indexPath}: there is no tensor {name}");
}

using System.Text.RegularExpressions;

namespace Qbb.Checkpoints;

/// <summary>
/// A checkpoint in several safetensors files with an index. The shards decide what there is: a tensor that the index omits or gives to
/// another shard is found, one that the index lists and no shard holds is absent; both are warned of.
/// </summary>
public sealed partial class SafetensorsShards : ITensorSource
{
    private readonly string indexPath;
    private readonly IReadOnlyList<SafetensorsFile> files;
    private readonly Dictionary<string, SafetensorsFile> owners;
    private readonly Dictionary<string, string> stale;

    private SafetensorsShards(
        string indexPath, IReadOnlyList<SafetensorsFile> files, Dictionary<string, SafetensorsFile> owners, Dictionary<string, string> stale)
    {
        (this.indexPath, this.files, this.owners, this.stale) = (indexPath, files, owners, stale);
        Entries = [.. files.SelectMany(file => file.Entries.Where(entry => owners.GetValueOrDefault(entry.Name) == file))];
    }

    /// <summary>The index and its shards.</summary>
    public IReadOnlyList<string> Files => [indexPath, .. files.Select(file => file.Path)];

    /// <summary>Shard by shard in the order of their names, within each in file order.</summary>
    public IReadOnlyList<TensorEntry> Entries { get; }

    /// <param name="indexPath">Usually <c>model.safetensors.index.json</c>.</param>
    /// <exception cref="InvalidInputException">The index or a shard is damaged, or a shard is missing.</exception>
    public static SafetensorsShards Open(string indexPath)
    {
        var map = ShardIndex.Read(indexPath);
        var folder = Path.GetDirectoryName(Path.GetFullPath(indexPath))!;
        var shards = map.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToList();
        var missing = shards.Where(shard => !File.Exists(Path.Combine(folder, shard))).ToList();
        if (missing.Count > 0)
            throw new InvalidInputException($"{indexPath}: {missing.Count} of {shards.Count} shards are missing: {ModelWarnings.Some(missing)}; "
                + $"download them into {folder}");
        var open = new SortedDictionary<string, SafetensorsFile>(StringComparer.Ordinal);
        try
        {
            foreach (var shard in shards.Concat(UnlistedShards(folder, shards)))
                open.Add(shard, SafetensorsFile.Open(Path.Combine(folder, shard)));
            return Assign(indexPath, map, open);
        }
        catch
        {
            foreach (var file in open.Values)
                file.Dispose();
            throw;
        }
    }

    /// <summary>Gives each tensor the file that holds it: the index's choice where that is true, else the first in the order of names.</summary>
    private static SafetensorsShards Assign(string indexPath, Dictionary<string, string> map, SortedDictionary<string, SafetensorsFile> open)
    {
        var owners = new Dictionary<string, SafetensorsFile>(StringComparer.Ordinal);
        foreach (var (tensor, shard) in map)
        {
            if (open[shard].Contains(tensor))
                owners.Add(tensor, open[shard]);
        }
        List<string> omitted = [.. open.Values.SelectMany(file => file.Entries.Select(entry => entry.Name).Where(name => owners.TryAdd(name, file)))];
        if (omitted.Count > 0)
            ModelWarnings.Report($"{indexPath}: {omitted.Count} tensors are not in the shard that the index names, or not in the index: "
                + $"{ModelWarnings.Some(omitted)}; they are read from the shards that hold them");
        var stale = map.Where(pair => !owners.ContainsKey(pair.Key)).ToDictionary(StringComparer.Ordinal);
        if (stale.Count > 0)
            ModelWarnings.Report($"{indexPath}: {stale.Count} listed tensors are in no shard: {ModelWarnings.Some(stale.Keys)}");
        var used = owners.Values.ToHashSet();
        foreach (var file in open.Values.Where(file => !used.Contains(file)))
            file.Dispose();
        return new(indexPath, [.. open.Values.Where(file => used.Contains(file))], owners, stale);
    }

    /// <summary>Files beside the listed shards that are numbered as pieces of the same whole.</summary>
    private static IEnumerable<string> UnlistedShards(string folder, List<string> shards)
    {
        var wholes = shards.Select(WholeOf).OfType<(string, string)>().ToHashSet();
        return Directory.EnumerateFiles(folder, "*.safetensors").Select(path => Path.GetFileName(path))
            .Where(name => WholeOf(name) is { } whole && wholes.Contains(whole)).Except(shards, StringComparer.Ordinal);
    }

    private static (string Stem, string Count)? WholeOf(string shard) =>
        NumberedShard().Match(shard) is { Success: true } match ? (match.Groups[1].Value, match.Groups[2].Value) : null;

    [GeneratedRegex(@"^(.*)-[0-9]{5}-of-([0-9]{5})\.safetensors$", RegexOptions.CultureInvariant)]
    private static partial Regex NumberedShard();

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
        : throw new InvalidInputException(stale.TryGetValue(name, out var shard)
            ? $"{indexPath}: tensor {name} is listed in {shard} but is not there; the index and the shards do not belong together, download "
                + "them again"
            : $"{indexPath}: there is no tensor {name}");
}

namespace Qbb.Checkpoints;

/// <summary>Finds the weights of a Hugging Face folder: <c>model.safetensors</c>, or shards under
/// <c>model.safetensors.index.json</c>.</summary>
public static class SafetensorsFolder
{
    public const string SingleName = "model.safetensors";

    public const string IndexName = "model.safetensors.index.json";

    /// <exception cref="InvalidInputException">There are no such files, they are damaged, or the weights are pickled.</exception>
    public static ITensorSource Open(string folder)
    {
        if (!Directory.Exists(folder))
            throw new InvalidInputException($"{folder}: no such folder");
        if (File.Exists(Path.Combine(folder, SingleName)))
            return SafetensorsFile.Open(Path.Combine(folder, SingleName));
        if (File.Exists(Path.Combine(folder, IndexName)))
            return SafetensorsShards.Open(Path.Combine(folder, IndexName));
        PickleFiles.RefuseFolder(folder);
        var others = Directory.EnumerateFiles(folder, "*.safetensors").Select(Path.GetFileName).Order(StringComparer.Ordinal).ToList();
        var found = others.Count == 0 ? "" : $" (it has {string.Join(", ", others.Take(5))}{(others.Count > 5 ? ", …" : "")}, without "
            + "an index)";
        throw new InvalidInputException($"{folder}: has neither {SingleName} nor {IndexName}{found}");
    }

    internal static bool HasWeights(string folder) =>
        File.Exists(Path.Combine(folder, SingleName)) || File.Exists(Path.Combine(folder, IndexName));
}

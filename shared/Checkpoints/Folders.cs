namespace Qbb.Checkpoints;

/// <summary>What the readers of whole folders share.</summary>
internal static class Folders
{
    /// <summary>Turns the errors of a folder that cannot be listed into one that names it.</summary>
    /// <exception cref="InvalidInputException">The folder may not be read.</exception>
    public static T Guard<T>(string folder, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{folder}: cannot be read: {e.Message}", e);
        }
    }

    /// <summary>The only GGUF file of a folder, or the first piece of the only one; null if there is none.</summary>
    /// <exception cref="InvalidInputException">There are several.</exception>
    public static string? SingleGguf(string folder)
    {
        var files = Directory.EnumerateFiles(folder, "*.gguf").Order(StringComparer.Ordinal).ToList();
        // Files of projectors to other senses lie beside the model that they belong to.
        if (files.Count > 1)
            files.RemoveAll(file => Path.GetFileName(file).StartsWith("mmproj", StringComparison.OrdinalIgnoreCase));
        return files.Count <= 1 || GgufPieces.AreOneWhole(files)
            ? files.FirstOrDefault()
            : throw new InvalidInputException(
                $"{folder}: has {files.Count} GGUF files ({string.Join(", ", files.Take(3).Select(Path.GetFileName))}, …); give one of "
                    + "them");
    }
}

namespace Qbb.Checkpoints;

/// <summary>Python pickles run code when they are loaded, so they are refused, whatever they hold.</summary>
internal static class PickleFiles
{
    private const string Remedy =
        "is a Python pickle, which can run any code when it is loaded; convert the model to safetensors (save_pretrained(folder, "
            + "safe_serialization=True) in transformers) and give that";

    private static readonly string[] Extensions = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];

    /// <exception cref="InvalidInputException">The name or the first bytes are those of a pickle or of a torch archive.</exception>
    public static void Refuse(string path)
    {
        if (HasPickleName(path) || BeginsLikePickle(path))
            throw new InvalidInputException($"{path}: {Remedy}");
    }

    /// <exception cref="InvalidInputException">The folder holds pickled weights.</exception>
    public static void RefuseFolder(string folder)
    {
        var pickle = Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal).FirstOrDefault(HasPickleName);
        if (pickle != null)
            throw new InvalidInputException($"{folder}: has no safetensors file, and {Path.GetFileName(pickle)} {Remedy}");
    }

    private static bool HasPickleName(string path) => Extensions.Contains(Path.GetExtension(path).ToLowerInvariant());

    private static bool BeginsLikePickle(string path)
    {
        using var file = MappedFile.Open(path);
        if (file.Length < 4)
            return false;
        var start = file.Slice(0, 4);
        // "PK\3\4": torch.save's zip archive. 0x80 and a protocol number: a bare pickle, unless it is a safetensors length of 640 bytes
        // and more.
        return start.SequenceEqual("PK\u0003\u0004"u8)
            || (start[0] == 0x80 && start[1] is >= 2 and <= 5 && start[2..].ContainsAnyExcept((byte)0));
    }
}

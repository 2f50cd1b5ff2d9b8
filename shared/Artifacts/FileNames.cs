namespace Qbb.Artifacts;

/// <summary>
/// The names that files of a manifest may have: relative paths of plain names, so that no name leads out of the folder it is written to.
/// </summary>
public static class FileNames
{
    private const int MostCharacters = 255;

    /// <summary>What is wrong with a name, for a message; null for nothing.</summary>
    public static string? ProblemOf(string name)
    {
        if (name.Length is 0 or > MostCharacters)
            return $"it must have 1 to {MostCharacters} characters";
        if (name.Any(character => char.IsControl(character) || char.IsSurrogate(character) || character is '\\' or ':' or '\u2028' or '\u2029'))
            return "it must have no control characters, backslashes or colons";
        var parts = name.Split('/');
        if (parts.Any(part => part.Length == 0))
            return "it must be relative, without empty parts";
        return parts.Any(part => part is "." or "..") ? "it must not step up or stay with . or .." : null;
    }

    /// <exception cref="ArtifactStoreException">The name is not allowed; the message shows it and says why.</exception>
    public static void ThrowIfInvalid(string name)
    {
        if (ProblemOf(name) is { } problem)
            throw new ArtifactStoreException($"the file name \"{Shown(name)}\" is not allowed: {problem}");
    }

    /// <exception cref="ArtifactStoreException">One name is a folder of another.</exception>
    internal static void ThrowIfFolder(IEnumerable<string> names)
    {
        var all = names.ToHashSet(StringComparer.Ordinal);
        foreach (var name in all)
        {
            for (var end = name.LastIndexOf('/'); end > 0; end = name.LastIndexOf('/', end - 1))
            {
                if (all.Contains(name[..end]))
                    throw new ArtifactStoreException($"{name[..end]} cannot be a file and a folder at once");
            }
        }
    }

    private static string Shown(string name) =>
        string.Concat(name.Take(MostCharacters).Select(character => char.IsControl(character) ? '\uFFFD' : character));
}

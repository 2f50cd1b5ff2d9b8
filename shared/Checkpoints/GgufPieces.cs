using System.Text.RegularExpressions;

namespace Qbb.Checkpoints;

/// <summary>GGUF files that were split in pieces: NAME-00001-of-00003.gguf and so on, each of which says which it is.</summary>
public static partial class GgufPieces
{
    /// <summary>The paths of all pieces of which a path names one, in order; of a whole file its own.</summary>
    public static IReadOnlyList<string> PathsOf(string path) => Piece().Match(path) is { Success: true } match
        ? [.. Enumerable.Range(1, int.Parse(match.Groups[3].Value)).Select(k => $"{match.Groups[1].Value}-{k:00000}-of-{match.Groups[3].Value}.gguf")]
        : [path];

    /// <summary>How many pieces there are; null for a whole file.</summary>
    internal static int? CountOf(GgufHeader header) => Number(header, "split.count") is > 1 and <= 99_999 and var count ? (int)count : null;

    /// <summary>The paths of all pieces in order, found beside one of them by their names.</summary>
    /// <exception cref="InvalidInputException">The file is not named as a piece, or others are missing.</exception>
    internal static IReadOnlyList<string> Find(string path, GgufHeader header, int count)
    {
        var what = $"{path}: is piece {(Number(header, "split.no") ?? 0) + 1} of {count} of a model";
        var folder = Path.GetDirectoryName(path) ?? "";
        var match = Piece().Match(Path.GetFileName(path));
        if (!match.Success || int.Parse(match.Groups[3].Value) != count)
            throw new InvalidInputException($"{what}, but its name does not end in -{1:00000}-of-{count:00000}.gguf or the like; give the pieces the names that "
                + "they had, or join them with llama.cpp's llama-gguf-split --merge");
        List<string> paths = [.. Enumerable.Range(1, count).Select(k => Path.Combine(folder, $"{match.Groups[1].Value}-{k:00000}-of-{count:00000}.gguf"))];
        string[] missing = [.. paths.Where(piece => !File.Exists(piece)).Select(piece => Path.GetFileName(piece))];
        return missing.Length == 0
            ? paths
            : throw new InvalidInputException($"{what}; {ModelWarnings.Some(missing)} {(missing.Length == 1 ? "is" : "are")} missing beside it, download them into the same folder");
    }

    /// <exception cref="InvalidInputException">The pieces do not belong together.</exception>
    internal static void Check(IReadOnlyList<string> paths, IReadOnlyList<GgufHeader> headers)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (var k = 0; k < headers.Count; k++)
        {
            if (Number(headers[k], "split.no") != k || Number(headers[k], "split.count") != headers.Count)
                throw new InvalidInputException($"{paths[k]}: is not piece {k + 1} of {headers.Count}, as its name says", "download it again");
            if (headers[k].Tensors.FirstOrDefault(tensor => !names.Add(tensor.Entry.Name)) is { } twice)
                throw new InvalidInputException($"{paths[k]}: tensor {Printable.Name(twice.Entry.Name)} is in another piece too; the pieces do not belong together");
        }
        if (Number(headers[0], "split.tensors.count") is { } total && total != names.Count)
            throw new InvalidInputException($"{paths[0]}: the {headers.Count} pieces hold {names.Count} tensors, not {total}; they do not belong together");
    }

    /// <summary>Whether the files are the pieces of one whole, by their names.</summary>
    internal static bool AreOneWhole(IReadOnlyList<string> paths) =>
        paths.All(path => Piece().IsMatch(Path.GetFileName(path))) && paths.Select(path => Piece().Replace(Path.GetFileName(path), "$1-of-$3")).Distinct().Count() == 1;

    private static long? Number(GgufHeader header, string key) => header.Metadata.Values.GetValueOrDefault(key) switch
    {
        ulong number and <= long.MaxValue => (long)number,
        long number => number,
        _ => null,
    };

    [GeneratedRegex(@"^(.*)-([0-9]{5})-of-([0-9]{5})\.gguf$", RegexOptions.CultureInvariant)]
    private static partial Regex Piece();
}

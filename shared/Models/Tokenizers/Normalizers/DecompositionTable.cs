using System.Globalization;

namespace Qbb.Models.Tokenizers;

/// <summary>
/// Decompositions, compositions and combining classes. The runtime does not normalize in invariant globalization mode (a server without ICU),
/// so the tables travel with the assembly.
/// </summary>
internal sealed class DecompositionTable
{
    private const string Resource = "Qbb.Models.Tokenizers.decompositions.txt";

    private readonly Dictionary<int, int[]> canonical = [];
    private readonly Dictionary<int, int[]> compatible = [];
    private readonly Dictionary<(int First, int Second), int> compositions = [];
    private readonly Dictionary<int, byte> classes = [];

    private DecompositionTable()
    {
        using var stream = typeof(DecompositionTable).Assembly.GetManifestResourceStream(Resource)
            ?? throw new InvalidOperationException($"the resource {Resource} is missing");
        using var reader = new StreamReader(stream);
        while (reader.ReadLine() is { } line)
            if (!line.StartsWith('#'))
                Read(line);
    }

    public static Lazy<DecompositionTable> Instance { get; } = new(() => new DecompositionTable());

    public int ClassOf(int codePoint) => classes.GetValueOrDefault(codePoint);

    public bool TryDecompose(int codePoint, bool compatibility, out int[] parts) =>
        canonical.TryGetValue(codePoint, out parts!) || (compatibility && compatible.TryGetValue(codePoint, out parts!));

    public bool TryCompose(int first, int second, out int composed) => compositions.TryGetValue((first, second), out composed);

    private void Read(string line)
    {
        var mark = line.AsSpan().IndexOfAny("=!~@");
        if (line[mark] == '@')
        {
            var range = line[..mark].Split('-');
            var combiningClass = byte.Parse(line.AsSpan(mark + 1), NumberStyles.None, CultureInfo.InvariantCulture);
            for (var codePoint = Hex(range[0]); codePoint <= Hex(range[1]); codePoint++)
                classes.Add(codePoint, combiningClass);
            return;
        }
        var parts = line[(mark + 1)..].Split(' ').Select(Hex).ToArray();
        var whole = Hex(line[..mark]);
        (line[mark] == '~' ? compatible : canonical).Add(whole, parts);
        if (line[mark] == '=')
            compositions.Add((parts[0], parts[1]), whole);
    }

    private static int Hex(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}

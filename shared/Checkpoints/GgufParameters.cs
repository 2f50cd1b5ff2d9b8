namespace Qbb.Checkpoints;

/// <summary>The metadata of a GGUF file that describe its architecture, read with their types and ranges checked.</summary>
internal sealed class GgufParameters(GgufFile file, GgufArchitecture architecture)
{
    private const int MaxSize = 1 << 24;

    public int Heads => Required("attention.head_count");

    public int KeyValueHeads => Size("attention.head_count_kv") ?? Heads;

    /// <summary>A size from 1 to 2^24, or null where the key is absent.</summary>
    /// <exception cref="InvalidInputException">The value is no such number; also where it differs from block to block.</exception>
    public int? Size(string key)
    {
        if (!TryGet(key, out var value))
            return null;
        var size = value switch
        {
            ulong number => number <= MaxSize ? (long)number : -1,
            long number => number,
            uint[] { Length: > 0 } blocks when blocks.All(block => block == blocks[0]) => blocks[0],
            int[] { Length: > 0 } blocks when blocks.All(block => block == blocks[0]) => blocks[0],
            _ => -1,
        };
        return size is > 0 and <= MaxSize ? (int)size : throw Wrong(key, value, $"a whole number from 1 to {MaxSize}, the same in all "
            + "blocks,");
    }

    public int Required(string key) => Size(key) ?? throw new InvalidInputException(
        $"{file.Path}: has no metadata {Full(key)}; the file is incomplete");

    /// <summary>A finite number, or null where the key is absent. A float keeps its shortest decimal form, as config.json would have
    /// it.</summary>
    public double? Number(string key) => TryGet(key, out var value)
        ? value switch
        {
            float number when float.IsFinite(number) => double.Parse(number.ToString("R")),
            double number when double.IsFinite(number) => number,
            ulong number => number,
            long number => number,
            _ => throw Wrong(key, value, "a finite number"),
        }
        : null;

    public string? Text(string key) => TryGet(key, out var value) ? value as string ?? throw Wrong(key, value, "a string") : null;

    public bool? Flag(string key) => TryGet(key, out var value) ? value as bool? ?? throw Wrong(key, value, "true or false") : null;

    private bool TryGet(string key, out object value) => file.Metadata.TryGetValue(Full(key), out value!);

    private string Full(string key) => $"{architecture.Name}.{key}";

    private InvalidInputException Wrong(string key, object value, string expected) =>
        new($"{file.Path}: metadata {Full(key)} is "
            + $"{(value is Array array ? $"an array of {array.Length}" : Printable.Name($"{value}"))}; {expected} is needed");
}

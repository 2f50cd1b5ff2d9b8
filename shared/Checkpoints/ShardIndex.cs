using System.Text.Json;

namespace Qbb.Checkpoints;

/// <summary>Parses <c>model.safetensors.index.json</c>: which shard holds which tensor.</summary>
public static class ShardIndex
{
    private const int MaxLength = 64 << 20;

    /// <returns>Tensor name to the file name of its shard, which is a plain name in the index's own folder.</returns>
    /// <exception cref="InvalidInputException">The index is no such JSON; the message names the entry.</exception>
    public static Dictionary<string, string> Read(string path)
    {
        using var file = MappedFile.Open(path);
        if (file.Length > MaxLength)
            throw new InvalidInputException($"{path}: has {file.Length} bytes, an index has {MaxLength} at most");
        try
        {
            return Parse(path, file.Slice(0, (int)file.Length));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw new InvalidInputException($"{path}: is not valid JSON: {e.Message}", e);
        }
    }

    private static Dictionary<string, string> Parse(string path, ReadOnlySpan<byte> json)
    {
        Dictionary<string, string>? shards = null;
        var reader = new Utf8JsonReader(json);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new InvalidInputException($"{path}: is not a JSON object");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (!reader.ValueTextEquals("weight_map"u8))
                reader.Skip();
            else if (shards != null)
                throw new InvalidInputException($"{path}: has weight_map twice");
            else
                shards = ReadMap(path, ref reader);
        }
        while (reader.Read())
        {
        }
        return shards ?? throw new InvalidInputException($"{path}: has no weight_map; it is not an index of safetensors shards");
    }

    private static Dictionary<string, string> ReadMap(string path, ref Utf8JsonReader reader)
    {
        var shards = new Dictionary<string, string>(StringComparer.Ordinal);
        // A name is kept once however many tensors its shard holds.
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new InvalidInputException($"{path}: weight_map is not a JSON object");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (shards.Count == TensorShape.MaxTensors || reader.ValueSpan.Length > TensorShape.MaxNameLength)
                throw new InvalidInputException(
                    $"{path}: weight_map holds more than {TensorShape.MaxTensors} tensors or a name of more than "
                        + $"{TensorShape.MaxNameLength} bytes");
            var tensor = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String || reader.ValueSpan.Length > TensorShape.MaxNameLength)
                throw new InvalidInputException($"{path}: the shard of tensor {Printable.Name(tensor)} is not a file name");
            var shard = reader.GetString()!;
            if (!names.TryGetValue(shard, out var known))
            {
                CheckFileName(path, shard);
                names.Add(shard, known = shard);
            }
            if (!shards.TryAdd(tensor, known))
                throw new InvalidInputException($"{path}: weight_map lists tensor {Printable.Name(tensor)} twice");
        }
        return shards;
    }

    private static void CheckFileName(string path, string shard)
    {
        var isPlain = shard.EndsWith(".safetensors", StringComparison.Ordinal)
            && !shard.AsSpan().ContainsAny('/', '\\', ':')
            && !shard.Any(char.IsControl);
        if (!isPlain)
            throw new InvalidInputException(
                $"{path}: the shard {Printable.Name(shard)} is not a plain name of a .safetensors file in the same folder; such an index "
                    + "is refused");
    }
}

using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using Qbb.Models;

namespace Qbb.Bench.Transfer;

/// <summary>A folder that is a model as far as uploading one looks: headers that are right, and random weights.</summary>
internal static class LargeModel
{
    private const int RowBytes = 1 << 20;
    private const int ValueBytes = 2;
    private const int Width = 512;

    /// <param name="folder">Made.</param>
    /// <param name="size">Bytes of the weights, about.</param>
    /// <param name="cancel">Stops in the middle.</param>
    /// <returns>The file with the weights.</returns>
    public static string Write(string folder, long size, CancellationToken cancel)
    {
        Directory.CreateDirectory(folder);
        var rows = Math.Max(1, size / RowBytes);
        File.WriteAllText(Path.Combine(folder, "config.json"), $$"""
            { "model_type": "llama", "hidden_size": {{Width}}, "intermediate_size": {{Width}}, "num_hidden_layers": 1, "num_attention_heads": 8,
              "vocab_size": {{rows * RowBytes / ValueBytes / Width}}, "tie_word_embeddings": true }
            """);
        // Nearly all of it is the embedding; the one block is what makes it a model.
        const string block = "model.layers.0.";
        var square = new long[] { Width, Width };
        (string Name, long[] Shape)[] tensors =
        [
            ("model.embed_tokens.weight", [rows * RowBytes / ValueBytes / Width, Width]),
            .. new[] { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj" }
                .Select(name => ($"{block}{name}.weight", square)),
            (block + "input_layernorm.weight", [Width]), (block + "post_attention_layernorm.weight", [Width]), ("model.norm.weight", [Width]),
        ];
        var (entries, end) = (new JsonObject(), 0L);
        foreach (var (name, shape) in tensors)
        {
            var bytes = shape.Aggregate(1L, (product, count) => product * count) * ValueBytes;
            entries[name] = new JsonObject
            {
                ["dtype"] = "F16",
                ["shape"] = new JsonArray([.. shape.Select(count => (JsonNode)count)]),
                ["data_offsets"] = new JsonArray(end, end + bytes),
            };
            end += bytes;
        }
        var header = Encoding.UTF8.GetBytes(entries.ToJsonString());
        var path = Path.Combine(folder, "model.safetensors");
        try
        {
            using var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 0);
            var length = new byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)header.Length);
            file.Write(length);
            file.Write(header);
            var random = new Random(1);
            var row = new byte[RowBytes];
            for (var left = end; left > 0; left -= row.Length)
            {
                cancel.ThrowIfCancellationRequested();
                random.NextBytes(row);
                file.Write(row, 0, (int)Math.Min(left, row.Length));
            }
            file.Flush(flushToDisk: true);
        }
        catch (IOException error)
        {
            throw new InvalidInputException($"{path}: cannot be written: {error.Message}; the disk needs room for five times --size", error);
        }
        return path;
    }
}

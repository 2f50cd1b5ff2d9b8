using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Models.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Artifacts;

/// <summary>
/// Writes the weight files of a quantized model: the finished layers, and every other tensor of the source as it is (types that safetensors
/// does not have become F16). Copies in pieces, so memory does not grow with the model.
/// </summary>
internal sealed class ArtifactWriter(ModelSource source, IReadOnlyList<(LinearSpec Spec, string Path)> layers, string folder, long largestFile)
{
    private const int PieceBytes = 1 << 22;

    /// <summary>Writes model.safetensors, or shards and their index; returns the bytes of the weight files.</summary>
    public long Write(CancellationToken cancellation)
    {
        var shards = Split(Parts());
        if (shards.Count == 1)
            return WriteFile(SafetensorsFolder.SingleName, shards[0], cancellation);
        var map = new JsonObject();
        long bytes = 0;
        for (var k = 0; k < shards.Count; k++)
        {
            var name = $"model-{k + 1:d5}-of-{shards.Count:d5}.safetensors";
            bytes += WriteFile(name, shards[k], cancellation);
            foreach (var tensor in shards[k].SelectMany(part => part.Tensors))
                map[tensor.Entry.Name] = name;
        }
        var index = new JsonObject
        {
            ["metadata"] = new JsonObject { ["total_size"] = shards.SelectMany(shard => shard).Sum(part => part.Bytes) },
            ["weight_map"] = map,
        };
        File.WriteAllText(Path.Combine(folder, SafetensorsFolder.IndexName), index.ToJsonString(MetricsJson.Options) + "\n");
        return bytes;
    }

    /// <summary>All tensors in the order of the source, a layer's tensors together in the place of its weight.</summary>
    private List<Part> Parts()
    {
        var layerOf = layers.ToDictionary(layer => layer.Spec.Weight, StringComparer.Ordinal);
        var parts = new List<Part>();
        foreach (var entry in source.Tensors.Entries)
        {
            if (!layerOf.TryGetValue(entry.Name, out var layer))
            {
                var type = TypeOf(entry.Type);
                parts.Add(new Part(null, [new Piece(entry, type, Bytes(entry, type))]));
                continue;
            }
            using var file = SafetensorsFile.Open(layer.Path);
            parts.Add(new Part(layer.Path, [.. file.Entries.Select(tensor => new Piece(tensor, tensor.Type, tensor.Bytes))]));
        }
        return parts;
    }

    private List<List<Part>> Split(List<Part> parts)
    {
        var shards = new List<List<Part>> { new() };
        long size = 0;
        foreach (var part in parts)
        {
            if (size > 0 && size + part.Bytes > largestFile)
            {
                shards.Add([]);
                size = 0;
            }
            shards[^1].Add(part);
            size += part.Bytes;
        }
        return shards;
    }

    private long WriteFile(string name, List<Part> parts, CancellationToken cancellation)
    {
        // Wide types first: then every tensor lies at a multiple of its element size and can be mapped without a copy.
        var tensors = parts.SelectMany(part => part.Tensors.Select(tensor => (part.File, Tensor: tensor)))
            .OrderByDescending(item => ElementBytes(item.Tensor.Type)).ToList();
        var path = Path.Combine(folder, name);
        using (var writer = SafetensorsWriter.Create(path, tensors.Select(item => new TensorDeclaration(item.Tensor.Entry.Name, item.Tensor.Type, item.Tensor.Entry.Shape))))
        {
            foreach (var (file, tensor) in tensors)
            {
                cancellation.ThrowIfCancellationRequested();
                if (file == null)
                {
                    Copy(source.Tensors, tensor, writer, cancellation);
                    continue;
                }
                using var layer = SafetensorsFile.Open(file);
                Copy(layer, tensor, writer, cancellation);
            }
            writer.Commit();
        }
        return new FileInfo(path).Length;
    }

    private static void Copy(ITensorSource from, Piece tensor, SafetensorsWriter writer, CancellationToken cancellation)
    {
        var name = tensor.Entry.Name;
        var plain = tensor.Type == tensor.Entry.Type && IsPlain(from, name);
        // Buffers may hold infinities (masks), weights may not.
        var check = name.EndsWith(".weight", StringComparison.Ordinal) || name.EndsWith(".bias", StringComparison.Ordinal);
        var size = ElementBytes(tensor.Type);
        var piece = (int)Math.Min(tensor.Entry.Count, PieceBytes / sizeof(double));
        var bytes = new byte[plain ? piece * size : 0];
        var floats = new float[plain && !check ? 0 : piece];
        for (long first = 0; first < tensor.Entry.Count; first += piece)
        {
            cancellation.ThrowIfCancellationRequested();
            var count = (int)Math.Min(piece, tensor.Entry.Count - first);
            if (floats.Length > 0)
                from.ReadFloat(name, first, floats.AsSpan(0, count));
            if (check)
                WeightChecks.ThrowIfNotFinite(name, floats.AsSpan(0, count));
            if (!plain)
            {
                writer.Write(name, floats.AsSpan(0, count));
                continue;
            }
            from.ReadBytes(name, first * size, bytes.AsSpan(0, count * size));
            writer.WriteBytes(name, bytes.AsSpan(0, count * size));
        }
    }

    private static unsafe bool IsPlain(ITensorSource from, string name) => from is MappedTensors or SafetensorsShards || from.TryGetPointer(name, out _);

    /// <summary>The type that a tensor gets: its own where safetensors has it.</summary>
    private static string TypeOf(string stored) => ElementBytes(stored) > 0 ? stored : "F16";

    private static long Bytes(TensorEntry entry, string type) => ElementBytes(type) * entry.Count;

    private static int ElementBytes(string type) => type switch
    {
        "F64" or "I64" or "U64" => 8,
        "F32" or "I32" or "U32" => 4,
        "F16" or "BF16" or "I16" or "U16" => 2,
        "I8" or "U8" or "BOOL" => 1,
        _ => 0,
    };

    /// <param name="File">The finished layer's file; null for a tensor of the source.</param>
    /// <param name="Tensors">What goes into the same shard.</param>
    private sealed record Part(string? File, IReadOnlyList<Piece> Tensors)
    {
        public long Bytes => Tensors.Sum(tensor => tensor.Bytes);
    }

    private sealed record Piece(TensorEntry Entry, string Type, long Bytes);
}

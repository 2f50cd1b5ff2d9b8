using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Driver;

/// <summary>
/// Writes the weight files of a quantized model: the finished layers, embedding and head, and every other tensor that the decoder reads as it is (types that
/// safetensors does not have become F16). Copies in pieces, so memory does not grow with the model.
/// </summary>
/// <param name="source">The model.</param>
/// <param name="layout">Its layout.</param>
/// <param name="files">The files of the weights that were quantized, under the weights' names.</param>
internal sealed class ArtifactWriter(ModelSource source, DecoderLayout layout, IReadOnlyDictionary<string, string> files)
{
    private const int PieceElements = 1 << 19;

    /// <summary>Writes all tensors.</summary>
    public void Write(ModelFolderWriter writer, CancellationToken cancellation)
    {
        // Wide types first: then every tensor lies at a multiple of its element size and can be mapped without a copy.
        var pieces = Pieces().OrderByDescending(piece => ElementBytes(piece.Type)).ToList();
        var byName = pieces.ToDictionary(piece => piece.Entry.Name, StringComparer.Ordinal);
        writer.WriteTensors(
            [.. pieces.Select(piece => new TensorDeclaration(piece.Entry.Name, piece.Type, piece.Entry.Shape))],
            (declaration, file) =>
            {
                var piece = byName[declaration.Name];
                using var quantized = piece.File == null ? null : SafetensorsFile.Open(piece.File);
                Copy(quantized ?? source.Tensors, piece, file, cancellation);
            });
    }

    /// <summary>All tensors in the order of the source, those of a quantized weight in its place.</summary>
    private IEnumerable<Piece> Pieces()
    {
        var needed = layout.TensorNames.ToHashSet(StringComparer.Ordinal);
        foreach (var entry in source.Tensors.Entries)
        {
            if (!files.TryGetValue(entry.Name, out var path))
            {
                if (needed.Contains(entry.Name))
                    yield return new Piece(null, entry, ElementBytes(entry.Type) > 0 ? entry.Type : "F16");
                continue;
            }
            using var file = SafetensorsFile.Open(path);
            foreach (var tensor in EmbeddingFile.TensorsOf(file))
                yield return new Piece(path, tensor, tensor.Type);
        }
    }

    private static void Copy(ITensorSource from, Piece tensor, SafetensorsWriter file, CancellationToken cancellation)
    {
        var name = tensor.Entry.Name;
        var plain = tensor.Type == tensor.Entry.Type && IsPlain(from, name);
        // What quantizing a layer gave was checked as it was made.
        var check = name.EndsWith(".weight", StringComparison.Ordinal) || name.EndsWith(".bias", StringComparison.Ordinal);
        var size = ElementBytes(tensor.Type);
        var piece = (int)Math.Min(tensor.Entry.Count, PieceElements);
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
                file.Write(name, floats.AsSpan(0, count));
                continue;
            }
            from.ReadBytes(name, first * size, bytes.AsSpan(0, count * size));
            file.WriteBytes(name, bytes.AsSpan(0, count * size));
        }
    }

    private static unsafe bool IsPlain(ITensorSource from, string name) =>
        from is MappedTensors or SafetensorsShards || from.TryGetPointer(name, out _);

    private static int ElementBytes(string type) => type switch
    {
        "F64" or "I64" or "U64" => 8,
        "F32" or "I32" or "U32" => 4,
        "F16" or "BF16" or "I16" or "U16" => 2,
        "I8" or "U8" or "BOOL" => 1,
        _ => 0,
    };

    /// <param name="File">Of a quantized weight; null for a tensor of the source.</param>
    /// <param name="Entry">The tensor there.</param>
    /// <param name="Type">The type that it gets.</param>
    private sealed record Piece(string? File, TensorEntry Entry, string Type);
}

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

    /// <param name="folder">Made.</param>
    /// <param name="size">Bytes of the weights, about.</param>
    /// <param name="cancel">Stops in the middle.</param>
    /// <returns>The file with the weights.</returns>
    public static string Write(string folder, long size, CancellationToken cancel)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), """{ "model_type": "llama" }""");
        var rows = Math.Max(1, size / RowBytes);
        var header = Encoding.UTF8.GetBytes(new JsonObject
        {
            ["model.embed_tokens.weight"] = new JsonObject
            {
                ["dtype"] = "F16",
                ["shape"] = new JsonArray(rows, RowBytes / ValueBytes),
                ["data_offsets"] = new JsonArray(0L, rows * RowBytes),
            },
        }.ToJsonString());
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
            for (var k = 0L; k < rows; k++)
            {
                cancel.ThrowIfCancellationRequested();
                random.NextBytes(row);
                file.Write(row);
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

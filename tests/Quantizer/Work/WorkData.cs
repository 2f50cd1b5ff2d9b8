using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;

namespace Qbb.Quantizer.Tests.Work;

/// <summary>Random sequences as a folder of data that its teacher might have sampled.</summary>
internal static class WorkData
{
    public static string Write(string folder, string teacher, int sequences, int length, int vocabulary)
    {
        Directory.CreateDirectory(folder);
        var random = new Random(3);
        int[] ids = [.. Enumerable.Range(0, sequences * length).Select(_ => random.Next(vocabulary))];
        using (var writer = SafetensorsWriter.Create(Path.Combine(folder, "shard.safetensors"), [new TensorDeclaration("tokens", "I32", [sequences, length])]))
        {
            writer.WriteBytes("tokens", MemoryMarshal.AsBytes<int>(ids));
            writer.Commit();
        }
        using var source = ModelSource.Open(teacher);
        File.WriteAllText(Path.Combine(folder, "manifest.json"), new JsonObject
        {
            ["origin"] = new JsonObject { ["teacher"] = ModelDigest.Compute(source) },
            ["shards"] = new JsonArray(new JsonObject { ["file"] = "shard.safetensors" }),
        }.ToJsonString());
        return folder;
    }
}

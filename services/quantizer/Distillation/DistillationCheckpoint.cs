using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization;
using Qbb.Models;
using Qbb.Models.Checkpoints;
using Qbb.Torch;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// A training on disk: per scale its δ and Adam's means (F32) and the best scales so far (F16), the rest among the metadata. The file
/// appears whole or not at all, and the one before it stays until then.
/// </summary>
internal static class DistillationCheckpoint
{
    private const string StateKey = "state";

    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web)
    {
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    /// <exception cref="InvalidInputException">The disk is full or cannot be written; the checkpoint before is kept.</exception>
    public static void Save(string path, TrainedScales scales, DistillationState state, Half[][] best)
    {
        var adam = scales.AdamState;
        string[] kinds = ["delta", "mean", "square"];
        var declarations = scales.All
            .SelectMany(scale => kinds.Select(kind => new TensorDeclaration($"{scale.Name}.{kind}", "F32", scale.Value.shape)))
            .Concat(scales.All.Select(scale => new TensorDeclaration(scale.Name + ".best", "F16", scale.Value.shape)));
        using var writer = SafetensorsWriter.Create(path, declarations, new Dictionary<string, string>
        {
            [StateKey] = JsonSerializer.Serialize(state with { AdamSteps = adam.step }, s_json),
        });
        for (var k = 0; k < scales.All.Count; k++)
        {
            var name = scales.All[k].Name;
            writer.Write(name + ".delta", scales.All[k].Delta.to_array<float>());
            writer.Write(name + ".mean", adam.exp_avg[k].to_array<float>());
            writer.Write(name + ".square", adam.exp_avg_sq[k].to_array<float>());
        }
        for (var k = 0; k < best.Length; k++)
            writer.WriteBytes(scales.All[k].Name + ".best", MemoryMarshal.AsBytes<Half>(best[k]));
        writer.Commit();
    }

    /// <summary>
    /// Puts scales and optimizer back as they were; null where there is no checkpoint or it is damaged, and nothing was changed then.
    /// </summary>
    public static (DistillationState State, Half[][] Best)? TryRestore(string path, TrainedScales scales)
    {
        if (!File.Exists(path))
            return null;
        try
        {
            using var file = SafetensorsFile.Open(path);
            using var scope = torch.NewDisposeScope();
            var json = file.Metadata.GetValueOrDefault(StateKey, "null");
            if (JsonSerializer.Deserialize<DistillationState>(json, s_json) is not { } state)
                return null;
            var best = scales.All.Select(scale => ReadHalves(file, scale)).ToArray();
            scales.Restore(Tensors("delta"), new AdamWState(state.AdamSteps, Tensors("mean"), Tensors("square")));
            return (state, best);

            Tensor[] Tensors(string kind) => [.. scales.All.Select(scale => ReadTensor(file, scale, kind))];
        }
        catch (Exception error) when (error is InvalidInputException or JsonException or ArgumentException)
        {
            return null;
        }
    }

    private static Tensor ReadTensor(SafetensorsFile file, TrainedScale scale, string kind)
    {
        var name = $"{scale.Name}.{kind}";
        Check(file.Describe(name), scale);
        var values = new float[scale.Value.numel()];
        file.ReadFloat(name, 0, values);
        return torch.tensor(values, scale.Value.shape);
    }

    private static Half[] ReadHalves(SafetensorsFile file, TrainedScale scale)
    {
        var name = scale.Name + ".best";
        Check(file.Describe(name), scale);
        var values = new Half[scale.Value.numel()];
        file.ReadBytes(name, 0, MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    private static void Check(TensorEntry entry, TrainedScale scale)
    {
        if (!entry.Shape.SequenceEqual(scale.Value.shape))
        {
            throw new InvalidInputException(
                $"{entry.Name} is [{string.Join(", ", entry.Shape)}] in the checkpoint and {scale.Value.Describe()} in the student");
        }
    }
}

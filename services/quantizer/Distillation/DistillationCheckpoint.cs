using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization;
using Qbb.Checkpoints;
using Qbb.Models;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// A training on disk: per scale its δ and Adam's means (F32) and the best scales so far (F16); where signs are trained, per layer its latent
/// weight and Adam's means (F32), its signs and the best so far (I32); the rest among the metadata. The file
/// appears whole or not at all, and the one before it stays until then.
/// </summary>
internal static class DistillationCheckpoint
{
    private const string StateKey = "state";

    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web)
    {
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    private static readonly string[] s_scaleKinds = ["delta", "mean", "square"];
    private static readonly string[] s_signKinds = ["latent", "mean", "square"];

    /// <exception cref="InvalidInputException">The disk is full or cannot be written; the checkpoint before is kept.</exception>
    public static void Save(string path, TrainedScales scales, TrainedSigns? signs, DistillationState state, TrainedValues best)
    {
        var adam = scales.AdamState;
        IReadOnlyList<TrainedSign> layers = signs?.All ?? [];
        var declarations = scales.All
            .SelectMany(scale => s_scaleKinds.Select(kind => new TensorDeclaration($"{scale.Name}.{kind}", "F32", scale.Value.shape))
                .Append(new TensorDeclaration(scale.Name + ".best", "F16", scale.Value.shape)))
            .Concat(layers.SelectMany(sign => s_signKinds.Select(kind => new TensorDeclaration($"{sign.Name}.{kind}", "F32", sign.Latent.shape))
                .Append(new TensorDeclaration(sign.Name + ".now", "I32", sign.Layer.Planes.shape))
                .Append(new TensorDeclaration(sign.Name + ".best", "I32", sign.Layer.Planes.shape))));
        using var writer = SafetensorsWriter.Create(path, declarations, new Dictionary<string, string>
        {
            [StateKey] = JsonSerializer.Serialize(state with { AdamSteps = adam.step, SignSteps = [.. layers.Select(sign => sign.Steps)] }, s_json),
        });
        for (var k = 0; k < scales.All.Count; k++)
        {
            var name = scales.All[k].Name;
            writer.Write(name + ".delta", scales.All[k].Delta.ToArray<float>());
            writer.Write(name + ".mean", adam.exp_avg[k].ToArray<float>());
            writer.Write(name + ".square", adam.exp_avg_sq[k].ToArray<float>());
            writer.WriteBytes(name + ".best", MemoryMarshal.AsBytes<Half>(best.Scales[k]));
        }
        for (var k = 0; k < layers.Count; k++)
        {
            var (name, sign) = (layers[k].Name, layers[k]);
            writer.Write(name + ".latent", sign.Latent.ToArray<float>());
            writer.Write(name + ".mean", sign.Mean.ToArray<float>());
            writer.Write(name + ".square", sign.Square.ToArray<float>());
            writer.WriteBytes(name + ".now", MemoryMarshal.AsBytes<int>(sign.Layer.Planes.ToArray<int>()));
            writer.WriteBytes(name + ".best", MemoryMarshal.AsBytes<int>(best.Planes[k]));
        }
        writer.Commit();
    }

    /// <summary>
    /// Puts scales, signs and optimizer back as they were; null where there is no checkpoint or it is damaged, and nothing was changed then.
    /// </summary>
    public static (DistillationState State, TrainedValues Best)? TryRestore(string path, TrainedScales scales, TrainedSigns? signs)
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
            IReadOnlyList<TrainedSign> layers = signs?.All ?? [];
            if (state.SignSteps.Length != layers.Count)
                return null;
            var best = new TrainedValues(
                [.. scales.All.Select(scale => Read<Half>(file, scale.Name + ".best", scale.Value.shape))],
                [.. layers.Select(sign => Read<int>(file, sign.Name + ".best", sign.Layer.Planes.shape))]);
            Tensor[] now = [.. layers.Select(sign => torch.tensor(Read<int>(file, sign.Name + ".now", sign.Layer.Planes.shape), sign.Layer.Planes.shape))];
            Tensor[][] latent = [.. layers.Select(sign => s_signKinds.Select(kind => Floats($"{sign.Name}.{kind}", sign.Latent.shape)).ToArray())];
            scales.Restore(Scales("delta"), new AdamWState(state.AdamSteps, Scales("mean"), Scales("square")));
            for (var k = 0; k < layers.Count; k++)
                layers[k].Restore(latent[k][0], latent[k][1], latent[k][2], now[k], state.SignSteps[k]);
            return (state, best);

            Tensor[] Scales(string kind) => [.. scales.All.Select(scale => Floats($"{scale.Name}.{kind}", scale.Value.shape))];
            Tensor Floats(string name, long[] shape) => torch.tensor(Read<float>(file, name, shape), shape);
        }
        catch (Exception error) when (error is InvalidInputException or JsonException or ArgumentException)
        {
            return null;
        }
    }

    private static T[] Read<T>(SafetensorsFile file, string name, long[] shape) where T : unmanaged
    {
        var entry = file.Describe(name);
        if (!entry.Shape.SequenceEqual(shape))
        {
            throw new InvalidInputException(
                $"{name} is [{string.Join(", ", entry.Shape)}] in the checkpoint and [{string.Join(", ", shape)}] in the student");
        }
        var values = new T[shape.Aggregate(1L, (product, size) => product * size)];
        file.ReadBytes(name, 0, MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }
}

using System.Runtime.InteropServices;
using System.Text.Json;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Lattice;
using Qbb.Quantizer.Methods.Rounding;

namespace Qbb.Quantizer.Driver;

/// <summary>One finished layer on disk: its tensors, and its report among the metadata. It appears whole or not at all.</summary>
internal static class LayerFile
{
    private const string ReportKey = "report";
    private const string ScalesSuffix = ".input_scales";

    /// <summary>The name of a layer's file.</summary>
    /// <param name="index">Its place among the layers.</param>
    /// <param name="spec">The layer.</param>
    public static string NameOf(int index, LinearSpec spec) => $"{index:d5}-{spec.Role.ToString().ToLowerInvariant()}.safetensors";

    public static void Write(string path, LinearSpec spec, IQuantizedWeight weight, LayerReport report)
    {
        IReadOnlyList<NamedTensor> tensors = weight switch
        {
            NestedBases nested => BasesTensors.Write(spec.Module, nested),
            ScaledBases scaled =>
            [
                .. BasesTensors.Write(spec.Module, scaled.Bases),
                new(spec.Module + ScalesSuffix, "F32", [scaled.InputScales.Length], MemoryMarshal.AsBytes<float>(scaled.InputScales).ToArray()),
            ],
            LatticeWeight lattice => [new(spec.Weight, "F16", WeightLoader.StoredShape(spec), Plain(lattice, spec))],
            var bases => BasesTensors.Write(spec.Module, (BinaryBases)bases),
        };
        using var writer = SafetensorsWriter.Create(
            path,
            tensors.Select(tensor => new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape)),
            new Dictionary<string, string> { [ReportKey] = JsonSerializer.Serialize(report, LayerReport.Json) });
        foreach (var tensor in tensors)
            writer.WriteBytes(tensor.Name, tensor.Bytes.Span);
        writer.Commit();
    }

    /// <summary>The weight of a finished layer.</summary>
    /// <param name="path">Its file.</param>
    /// <param name="spec">The layer.</param>
    /// <param name="group">Columns that share a scale.</param>
    public static IQuantizedWeight Read(string path, LinearSpec spec, int? group)
    {
        using var file = SafetensorsFile.Open(path);
        if (file.Contains(spec.Weight))
        {
            var values = new float[spec.WeightCount];
            WeightLoader.ReadWeight(file, spec, values);
            return new LatticeWeight(spec.OutFeatures, spec.InFeatures, values, 16);
        }
        var bases = BasesTensors.Read(file, spec.Module, spec.OutFeatures, spec.InFeatures, group);
        return ReadInputScales(file, spec) is { } scales ? new ScaledBases(bases, scales) : bases;
    }

    /// <summary>What the columns of a layer's bases were multiplied by; null for nothing.</summary>
    public static float[]? ReadInputScales(string path, LinearSpec spec)
    {
        using var file = SafetensorsFile.Open(path);
        return ReadInputScales(file, spec);
    }

    /// <summary>Whether a tensor of a layer's file is part of the finished model: scales of inputs are in the operation before the layer there.</summary>
    public static bool IsStored(TensorEntry entry) => !entry.Name.EndsWith(ScalesSuffix, StringComparison.Ordinal);

    private static byte[] Plain(LatticeWeight weight, LinearSpec spec)
    {
        var values = new Half[weight.Values.Length];
        for (var k = 0; k < values.Length; k++)
        {
            var (row, column) = (k / spec.InFeatures, k % spec.InFeatures);
            var value = values[spec.Transposed ? column * spec.OutFeatures + row : k] = (Half)weight.Values[k];
            if (!Half.IsFinite(value))
                throw new InvalidInputException($"{spec.Weight}: a weight is beyond 65504, where fp16 ends; leave out the method that stores plain weights");
        }
        return MemoryMarshal.AsBytes<Half>(values).ToArray();
    }

    private static float[]? ReadInputScales(SafetensorsFile file, LinearSpec spec)
    {
        if (!file.Contains(spec.Module + ScalesSuffix))
            return null;
        var scales = new float[spec.InFeatures];
        file.ReadFloat(spec.Module + ScalesSuffix, 0, scales);
        return scales;
    }

    /// <summary>The report of a layer finished by an earlier run; null if the file is missing or belongs to another layer.</summary>
    public static LayerReport? TryReadReport(string path, LinearSpec spec)
    {
        if (!File.Exists(path))
            return null;
        try
        {
            using var file = SafetensorsFile.Open(path);
            return (file.Contains(BasesTensors.Planes(spec.Module)) || file.Contains(spec.Weight)) && file.Metadata.TryGetValue(ReportKey, out var json)
                ? JsonSerializer.Deserialize<LayerReport>(json, LayerReport.Json)
                : null;
        }
        catch (Exception error) when (error is InvalidInputException or JsonException)
        {
            return null;
        }
    }
}

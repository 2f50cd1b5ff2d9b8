using System.Text.Json;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Methods;

namespace Qbb.Quantizer.Driver;

/// <summary>One finished layer on disk: its tensors, and its report among the metadata. It appears whole or not at all.</summary>
internal static class LayerFile
{
    private const string ReportKey = "report";

    /// <summary>The name of a layer's file.</summary>
    /// <param name="index">Its place among the layers.</param>
    /// <param name="spec">The layer.</param>
    public static string NameOf(int index, LinearSpec spec) => $"{index:d5}-{spec.Role.ToString().ToLowerInvariant()}.safetensors";

    public static void Write(string path, LinearSpec spec, IQuantizedWeight weight, LayerReport report)
    {
        var tensors = weight is NestedBases nested
            ? BasesTensors.Write(spec.Module, nested)
            : BasesTensors.Write(spec.Module, (BinaryBases)weight);
        using var writer = SafetensorsWriter.Create(
            path,
            tensors.Select(tensor => new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape)),
            new Dictionary<string, string> { [ReportKey] = JsonSerializer.Serialize(report, LayerReport.Json) });
        foreach (var tensor in tensors)
            writer.WriteBytes(tensor.Name, tensor.Bytes.Span);
        writer.Commit();
    }

    /// <summary>The report of a layer finished by an earlier run; null if the file is missing or belongs to another layer.</summary>
    public static LayerReport? TryReadReport(string path, LinearSpec spec)
    {
        if (!File.Exists(path))
            return null;
        try
        {
            using var file = SafetensorsFile.Open(path);
            return file.Contains(BasesTensors.Planes(spec.Module)) && file.Metadata.TryGetValue(ReportKey, out var json)
                ? JsonSerializer.Deserialize<LayerReport>(json, LayerReport.Json)
                : null;
        }
        catch (Exception error) when (error is InvalidInputException or JsonException)
        {
            return null;
        }
    }
}

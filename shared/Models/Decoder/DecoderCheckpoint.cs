using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;

namespace Qbb.Models.Decoder;

/// <summary>Writes a decoder as a Hugging Face folder.</summary>
internal static class DecoderCheckpoint
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public static void Write(Transformer model, string folder, string type)
    {
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{folder}: cannot be made: {e.Message}", e);
        }
        var parameters = model.Parameters().ToList();
        using var writer = SafetensorsWriter.Create(
            Path.Combine(folder, SafetensorsFolder.SingleName),
            parameters.Select(parameter => new TensorDeclaration(parameter.Name, type, parameter.Value.shape)));
        foreach (var (name, value) in parameters)
        {
            using var scope = torch.NewDisposeScope();
            writer.Write(name, value.detach().to(torch.CPU).to(ScalarType.Float32).contiguous().AsSpan<float>());
        }
        WriteConfig(model.Config, Path.Combine(folder, "config.json"), type);
        writer.Commit();
    }

    private static void WriteConfig(DecoderConfig config, string path, string type)
    {
        var json = config.Json.DeepClone().AsObject();
        json["model_type"] = config.ModelType;
        json["torch_dtype"] = type switch { "F16" => "float16", "BF16" => "bfloat16", _ => "float32" };
        json.Remove("dtype");
        try
        {
            File.WriteAllText(path, json.ToJsonString(Indented) + "\n");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{path}: cannot be written: {e.Message}", e);
        }
    }
}

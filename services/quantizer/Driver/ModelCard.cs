using System.Globalization;
using System.Text;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

/// <summary>The README.md of a quantized model, with the front matter that Hugging Face reads.</summary>
internal static class ModelCard
{
    public static string Write(ModelSource source, Recipe recipe, QuantizedModel model, string modelDigest)
    {
        var name = NameOf(source);
        var text = new StringBuilder();
        text.Append("---\n");
        text.Append(CultureInfo.InvariantCulture, $"base_model: {Quoted(name)}\n");
        text.Append("base_model_relation: quantized\n");
        if (source.GgufMetadata?.GetValueOrDefault("general.license") is string license)
            text.Append(CultureInfo.InvariantCulture, $"license: {Quoted(license)}\n");
        text.Append("pipeline_tag: text-generation\ntags:\n- qbb\n- quantized\n---\n\n");
        text.Append(CultureInfo.InvariantCulture, $"# {name}, {Bases(recipe)} binary bases\n\n");
        text.Append("Every linear layer of the transformer blocks is a sum of binary matrices, `W ≈ Σ αᵢ ⊙ Bᵢ");
        text.Append(recipe.Bias ? " + β`" : "`");
        text.Append(", after QBB: Quantization with Binary Bases for LLMs (NeurIPS 2024). ");
        text.Append(recipe.Embedding switch
        {
            EmbeddingForm.Bits16 => "Embedding and head are 16-bit floats; norms are as in the base model",
            EmbeddingForm.Bases => "Embedding and head are binary bases too; norms are as in the base model",
            var form => $"Embedding and head are integers of {(int)form} bits with a scale per {recipe.EmbeddingGroup} columns; norms are as in the base model",
        });
        text.Append(recipe.Init == Init.Awq ? ", but for the scales of the layers' inputs (AWQ), which norms and value and up layers take in.\n\n" : ".\n\n");
        text.Append("| | |\n|---|---|\n");
        Row("bases", $"{(recipe.BasesPerLayer is { } perLayer ? string.Join(", ", CountsOf(perLayer)) : recipe.Bases)}");
        if (recipe.Nested)
            Row("nested", $"yes: using only the first n bases gives a complete n-bit model with its own scales (`qbb eval --bases n`)");
        if (model.ErrorPerBase is { } errors)
            Row("relative weight error with 1 … N bases", $"{Listed(errors)}");
        if (model.OwnErrorPerBase is { } own)
            Row("the same of models of their own", $"{Listed(own)}");
        Row("group", $"{(recipe.Group is { } group ? $"{group} inputs share a scale" : "one scale per row and basis")}");
        Row("bias per group", $"{(recipe.Bias ? "yes" : "no")}");
        Row("bits per weight of the quantized layers", $"{model.EffectiveBitsPerWeight:0.###}");
        Row("bits per parameter of the whole model", $"{model.Size.BitsPerParameter:0.###} (base model: {model.Source.BitsPerParameter:0.###})");
        Row("size of the whole model", $"{model.Size.Bytes:n0} bytes (base model: {model.Source.Bytes:n0})");
        Row("relative weight error ‖W − Ŵ‖²/‖W‖²", $"{model.RelativeError:0.#####}");
        Row("quantized layers", $"{model.Layers.Count} ({model.Layers.Sum(layer => layer.Weights):n0} weights)");
        foreach (var embedding in model.Embeddings)
            Row($"relative error of `{embedding.Weight}`", $"{embedding.RelativeError:0.0###e+0}");
        Row("refinement", $"{recipe.Refinement.ToString().ToLowerInvariant()}");
        if (model.Calibration is { } calibration)
            Row("calibration", $"{calibration.Sequences:n0} sequences, {calibration.Tokens:n0} tokens; importance {recipe.Importance.ToString().ToLowerInvariant()}");
        if (model.RelativeOutputError is { } output)
            Row("relative error of the layers' outputs, mean", $"{output:0.#####}");
        if (source.Packed is { } packed)
            Row("starts from", $"weights that are quantized already: {packed.Description}");
        Row("recipe digest", $"`{recipe.Digest}`");
        Row("base model digest", $"`{modelDigest}`");
        foreach (var format in recipe.Exports?.Names ?? [])
            Row($"exported to {format}", $"`{RecipeExports.PathOf(format)}`");
        text.Append("\n`recipe.json` holds every choice, `metrics.json` the error of every layer. ");
        text.Append("Weight error is not perplexity: measure with `qbb eval`.\n");
        return text.ToString();

        void Row(string label, FormattableString value) =>
            text.Append(CultureInfo.InvariantCulture, $"| {label} | {value.ToString(CultureInfo.InvariantCulture)} |\n");
    }

    private static string Bases(Recipe recipe) => recipe.BasesPerLayer is { } perLayer
        ? $"{perLayer.Min(layer => layer.Value)} to {perLayer.Most}"
        : recipe.Bases.ToString(CultureInfo.InvariantCulture);

    private static string Listed(IEnumerable<double> errors) =>
        string.Join(" / ", errors.Select(error => error.ToString("0.#####", CultureInfo.InvariantCulture)));

    private static IEnumerable<string> CountsOf(LayerBases perLayer) =>
        perLayer.GroupBy(layer => layer.Value).OrderBy(group => group.Key).Select(group => $"{group.Key} in {group.Count()} layers");

    /// <summary>The name of the base model: what its configuration or metadata say, else that of its folder or file.</summary>
    private static string NameOf(ModelSource source) =>
        Named(source.ConfigJson["_name_or_path"]?.ToString())
        ?? Named(source.GgufMetadata?.GetValueOrDefault("general.name") as string)
        ?? Path.GetFileNameWithoutExtension(Path.TrimEndingDirectorySeparator(Path.GetFullPath(source.Path)));

    /// <summary>The base model's name and license, of a card that qbb wrote or of the model itself.</summary>
    public static (string Name, string? License) NameAndLicense(ModelSource source)
    {
        var card = Path.Combine(source.Path, "README.md");
        var lines = source.Format == ModelSource.HuggingFace && File.Exists(card) ? File.ReadLines(card).Skip(1).TakeWhile(line => line != "---").ToList() : [];
        return (Member("base_model") ?? NameOf(source), Member("license") ?? source.GgufMetadata?.GetValueOrDefault("general.license") as string);

        string? Member(string name) => Named(lines.FirstOrDefault(line => line.StartsWith($"{name}: ", StringComparison.Ordinal))?[(name.Length + 2)..]
            .Trim('"').Replace("\\\"", "\"").Replace("\\\\", "\\"));
    }

    /// <summary>Null for what is not a name: empty, or a path of someone's machine.</summary>
    private static string? Named(string? name) =>
        string.IsNullOrWhiteSpace(name) || name.StartsWith('/') || name.StartsWith('.') || name.Contains('\n') ? null : name.Trim();

    private static string Quoted(string text) => $"\"{text.Replace("\\", "\\\\").Replace("\"", "\\\"")}\"";
}

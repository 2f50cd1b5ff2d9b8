using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Qbb.Registry.Pages;

namespace Qbb.Registry.Versions;

/// <summary>
/// A version's model card in Markdown, from all that the registry knows of it, with the YAML head that Hugging Face's hub reads (base_model, model-index).
/// The README.md among its files was written before it was evaluated.
/// </summary>
internal static partial class VersionCard
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    // The hub's words for metrics; those that it has none for keep ours.
    private static readonly Dictionary<string, string> s_hub = new() { [MetricNames.Perplexity] = "perplexity", [MetricNames.Kl] = "kl_divergence", [MetricNames.Top1] = "top1_agreement" };

    /// <param name="version">With its files.</param>
    /// <param name="readme">The README.md among its files; null for none.</param>
    /// <param name="address">Of the registry.</param>
    public static string Write(VersionView version, string? readme, string address)
    {
        var text = new StringBuilder();
        Head(text, version, readme);
        text.Append(CultureInfo.InvariantCulture, $"# {version.Model} version {version.Version}\n\n");
        text.Append(version.Lineage is { } made
            ? $"Quantized from {made.Parent.Model} version {made.Parent.Version} by qbb: linear layers are sums of binary matrices, `W ≈ Σ αᵢ ⊙ Bᵢ + β`.\n"
            : version.Kind == VersionKind.Quantized ? "A quantized model that was uploaded as it is.\n" : "A model that was uploaded as it is.\n");
        Results(text, version);
        if (version.Lineage is { } lineage)
            Making(text, lineage, address);
        Loading(text, version, address);
        Limits(text, version);
        return text.ToString();
    }

    private static void Head(StringBuilder text, VersionView version, string? readme)
    {
        var head = readme is not null && FrontMatter().Match(readme) is { Success: true } match ? match.Groups[1].Value : "";
        text.Append("---\n");
        if (version.Lineage is { } lineage)
            text.Append(CultureInfo.InvariantCulture, $"base_model: {Member(head, "base_model") ?? Quoted(lineage.Parent.Model)}\nbase_model_relation: quantized\n");
        if (Member(head, "license") is { } license)
            text.Append(CultureInfo.InvariantCulture, $"license: {license}\n");
        text.Append("pipeline_tag: text-generation\ntags:\n");
        foreach (var tag in (string[])(version.Kind == VersionKind.Quantized ? ["qbb", "quantized"] : ["qbb"]))
            text.Append(CultureInfo.InvariantCulture, $"- {tag}\n");
        var shown = s_hub.Where(metric => version.Metrics.ContainsKey(metric.Key)).ToList();
        if (shown.Count > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"model-index:\n- name: {Quoted($"{version.Model}-{version.Version}")}\n  results:\n  - task:\n      type: text-generation\n");
            text.Append(CultureInfo.InvariantCulture, $"    dataset:\n      type: {(IsSampled(version) ? "sampled" : "text")}\n      name: {Quoted(Data(version))}\n    metrics:\n");
            foreach (var (metric, type) in shown)
                text.Append(CultureInfo.InvariantCulture, $"    - type: {type}\n      value: {version.Metrics[metric]:R}\n      name: {Quoted(FigureKind.Of(metric).Label)}\n");
        }
        text.Append("---\n\n");
    }

    private static void Results(StringBuilder text, VersionView version)
    {
        if (version.Metrics.Count == 0)
            return;
        text.Append("\n## Results\n\n| metric | value | meaning |\n|---|---|---|\n");
        foreach (var kind in FigureKind.Among(version.Metrics.Keys))
            text.Append(CultureInfo.InvariantCulture, $"| {kind.Label} | {kind.Text(version.Metrics[kind.Name])} | {kind.Hint} |\n");
        if (version.Metrics.ContainsKey(MetricNames.Perplexity))
            text.Append(CultureInfo.InvariantCulture, $"\nEvaluated on {Data(version)}.\n");
    }

    private static void Making(StringBuilder text, LineageView lineage, string address)
    {
        text.Append("\n## How it was made\n\n| | |\n|---|---|\n");
        Row("created from", $"[{lineage.Parent.Model} version {lineage.Parent.Version}]({address}/models/{lineage.Parent.Model}/versions/{lineage.Parent.Version})");
        if (lineage.Pipeline is { } pipeline)
            Row("pipeline", $"[{pipeline}]({address}/pipelines/{pipeline})");
        Row("recipe", $"{lineage.RecipeName} `{lineage.Recipe}`");
        foreach (var (kind, digest) in lineage.Data)
            Row($"data, {kind}", $"`{digest}`");
        Row("program", $"qbb {lineage.ToolVersion}{(lineage.Commit is { Length: > 0 } commit ? $", commit {commit}" : "")}");
        text.Append(CultureInfo.InvariantCulture, $"\n```json\n{JsonSerializer.Serialize(lineage.Choices, s_indented)}\n```\n");

        void Row(string label, string value) => text.Append(CultureInfo.InvariantCulture, $"| {label} | {value} |\n");
    }

    private static void Loading(StringBuilder text, VersionView version, string address)
    {
        var folder = $"{version.Model}-{version.Version}";
        text.Append(CultureInfo.InvariantCulture, $"\n## How to load it\n\n```sh\nqbb pull {version.Model}@{version.Version} -o {folder} --url {address}\nqbb generate {folder} --prompt \"Once upon a time\"\n");
        if (version.Kind == VersionKind.Quantized && version.Lineage is not null)
            text.Append(CultureInfo.InvariantCulture, $"qbb export {folder} -o {folder}-fp16   # full-size fp16 weights for transformers and other tools\n");
        foreach (var command in ExportCommands(version, folder))
            text.Append(CultureInfo.InvariantCulture, $"{command}\n");
        text.Append(CultureInfo.InvariantCulture, $"```\n\nIts identity is the digest of its manifest, `{version.Manifest}`.\n");
    }

    /// <summary>How the exports among a version's files are run, once it is in a folder.</summary>
    public static IReadOnlyList<string> ExportCommands(VersionView version, string folder) =>
    [
        .. from name in version.Files!.Select(file => file.Name.Split('/')).Where(parts => parts.Length > 1 && parts[0] == "exports").Select(parts => parts[1]).Distinct()
           select name.EndsWith(".gguf", StringComparison.Ordinal) ? $"llama-cli -m {folder}/exports/{name}" : $"vllm serve {folder}/exports/{name}",
    ];

    private static void Limits(StringBuilder text, VersionView version)
    {
        text.Append("\n## Limits\n\n");
        if (version.Lineage is not null)
            text.Append("- It inherits the limits, biases and license terms of the model that it was created from.\n");
        if (!version.Metrics.ContainsKey(MetricNames.Kl))
            text.Append("- It was not evaluated: measure it with `qbb eval` before use.\n");
        else if (IsSampled(version))
            text.Append("- It was evaluated on text sampled from the model that it was created from. That measures how close the two are, not how good either is: its perplexity does not compare with published ones.\n");
        if (version.Metrics.TryGetValue(MetricNames.Perplexity, out var own) && version.Metrics.TryGetValue(MetricNames.TeacherPerplexity, out var teacher) && own > 1.5 * teacher)
            text.Append(CultureInfo.InvariantCulture, $"- Its perplexity is {own / teacher:0.0} times that of the model that it was created from: expect clearly worse text.\n");
        text.Append("- Accuracy on your task was not measured: use `qbb eval --task`.\n");
    }

    private static bool IsSampled(VersionView version) => version.Lineage?.Data.ContainsKey("scored") == true;

    private static string Data(VersionView version) => IsSampled(version) ? "sequences sampled from the base model" : "a text";

    /// <summary>A member's value as it is written; only what fits a line is taken.</summary>
    private static string? Member(string head, string name) =>
        head.Split('\n').Select(line => line.Split(':', 2)).FirstOrDefault(pair => pair.Length == 2 && pair[0] == name)?[1].Trim() is { Length: > 0 } value ? value : null;

    private static string Quoted(string text) => $"\"{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";

    [GeneratedRegex(@"\A---\r?\n([\s\S]*?)\r?\n---\s")]
    private static partial Regex FrontMatter();
}

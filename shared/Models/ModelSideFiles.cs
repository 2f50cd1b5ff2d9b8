using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Models.Tokenizers;

namespace Qbb.Models;

/// <summary>What lies beside a model's weights: its tokenizer and the files that go along with it.</summary>
public static class ModelSideFiles
{
    private const string Templates = "additional_chat_templates";
    private const string ChatTemplate = "chat_template.jinja";
    private const string TokenizerConfig = "tokenizer_config.json";

    private static readonly string[] s_sideFiles =
    [
        ModelSource.TokenizerFile, TokenizerConfig, "special_tokens_map.json", "added_tokens.json", "generation_config.json", ChatTemplate, "chat_template.json",
        "tokenizer.model", "vocab.json", "merges.txt",
    ];

    /// <summary>Whether a file of a model's repository goes along with its configuration and weights.</summary>
    public static bool IsSideFile(string name) => s_sideFiles.Contains(name)
        || (Path.GetDirectoryName(name) == Templates && name.EndsWith(".jinja", StringComparison.Ordinal));

    /// <summary>The files of a folder that go along with its configuration and weights: tokenizer, chat templates, generation settings.</summary>
    /// <returns>Names relative to the folder, with slashes.</returns>
    public static IReadOnlyList<string> SideFiles(this ModelSource model)
    {
        if (model.Format != ModelSource.HuggingFace)
            return [];
        var folder = Path.Combine(model.Path, Templates);
        IEnumerable<string> templates = Directory.Exists(folder) ? Directory.EnumerateFiles(folder, "*.jinja") : [];
        return
        [
            .. s_sideFiles.Where(name => File.Exists(Path.Combine(model.Path, name))),
            .. templates.Select(file => $"{Templates}/{Path.GetFileName(file)}").Order(StringComparer.Ordinal),
        ];
    }

    /// <summary>Copies what belongs to the model beside configuration and weights; of a GGUF file's metadata it is made.</summary>
    public static void CopySideFiles(this ModelSource model, ModelFolderWriter writer)
    {
        foreach (var name in model.SideFiles())
            writer.Copy(Path.Combine(model.Path, name), name);
        if (model.Format != ModelSource.Gguf)
            return;
        writer.WriteText(ModelSource.TokenizerFile, model.LoadTokenizer().ToJson().ToJsonString());
        foreach (var (variant, template) in model.ChatTemplates().Where(template => template.Variant.All(character => char.IsAsciiLetterOrDigit(character) || character is '_' or '-')))
            writer.WriteText(variant.Length == 0 ? ChatTemplate : $"{Templates}/{variant}.jinja", template);
    }

    /// <summary>The text of a special token in tokenizer_config.json, such as eos_token; null if it names none, and for GGUF.</summary>
    /// <exception cref="InvalidInputException">The file is damaged.</exception>
    public static string? SpecialToken(this ModelSource model, string key)
    {
        var file = Path.Combine(model.Path, TokenizerConfig);
        if (model.Format != ModelSource.HuggingFace || !File.Exists(file))
            return null;
        var named = ConfigFile.Read(file)[key];
        // A string, or an added token with its content.
        return (named is JsonObject added ? added["content"] : named) is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;
    }

    /// <summary>The model's chat templates; the usual one has no name.</summary>
    /// <exception cref="InvalidInputException">A file that holds them is damaged.</exception>
    public static IReadOnlyList<(string Variant, string Text)> ChatTemplates(this ModelSource model)
    {
        const string key = "tokenizer.chat_template";
        if (model.GgufMetadata is { } metadata)
        {
            return [.. metadata.Where(pair => (pair.Key == key || pair.Key.StartsWith(key + ".", StringComparison.Ordinal)) && pair.Value is string)
                .Select(pair => (pair.Key[key.Length..].TrimStart('.'), (string)pair.Value))];
        }
        var files = model.SideFiles().Where(name => name.EndsWith(".jinja", StringComparison.Ordinal))
            .Select(name => (name == ChatTemplate ? "" : Path.GetFileNameWithoutExtension(name), File.ReadAllText(Path.Combine(model.Path, name)))).ToList();
        if (files.Count > 0)
            return files;
        foreach (var name in new[] { TokenizerConfig, "chat_template.json" }.Select(name => Path.Combine(model.Path, name)).Where(File.Exists))
        {
            switch (ConfigFile.Read(name)["chat_template"])
            {
                case JsonValue text when text.TryGetValue<string>(out var template):
                    return [("", template)];
                case JsonArray list:
                    return [.. list.OfType<JsonObject>().Where(item => item["template"] is JsonValue && item["name"] is JsonValue)
                        .Select(item => (item["name"]!.ToString() is "default" ? "" : item["name"]!.ToString(), item["template"]!.ToString()))];
            }
        }
        return [];
    }

    /// <summary>The model's tokenizer.</summary>
    /// <exception cref="InvalidInputException">There is none, or it is of a kind that cannot be read.</exception>
    public static Tokenizer LoadTokenizer(this ModelSource model)
    {
        if (model.GgufMetadata is { } metadata)
            return GgufTokenizer.Load(metadata, model.Path);
        return Tokenizer.FromFile(model.TokenizerJsonPath
            ?? throw new InvalidInputException($"{model.Path}: has no {ModelSource.TokenizerFile}; copy it from the model's original folder"));
    }
}

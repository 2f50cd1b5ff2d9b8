using Qbb.Models;

namespace Qbb.Quantizer.Artifacts;

/// <summary>What a Hugging Face folder holds beside weights and configuration.</summary>
internal static class TokenizerFiles
{
    private static readonly string[] Names =
    [
        "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
        "merges.txt", "chat_template.jinja", "chat_template.json", "generation_config.json", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE",
    ];

    /// <summary>Copies the tokenizer, the generation defaults and the licence of a model.</summary>
    public static void Copy(ModelSource model, string folder)
    {
        if (model.Format == ModelSource.Gguf)
            return;
        foreach (var name in Names)
        {
            var file = Path.Combine(model.Path, name);
            if (File.Exists(file))
                File.WriteAllBytes(Path.Combine(folder, name), File.ReadAllBytes(file));
        }
    }
}

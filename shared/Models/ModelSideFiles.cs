using Qbb.Checkpoints;
using Qbb.Models.Tokenizers;

namespace Qbb.Models;

/// <summary>What lies beside a model's weights: its tokenizer and the files that go along with it.</summary>
public static class ModelSideFiles
{
    private static readonly string[] s_sideFiles =
        [ModelSource.TokenizerFile, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "generation_config.json", "chat_template.jinja", "tokenizer.model", "vocab.json", "merges.txt"];

    /// <summary>Copies what belongs to the model beside configuration and weights: tokenizer, chat template, generation settings.</summary>
    public static void CopySideFiles(this ModelSource model, ModelFolderWriter writer)
    {
        if (model.Format == ModelSource.Gguf)
        {
            writer.WriteText(ModelSource.TokenizerFile, model.LoadTokenizer().ToJson().ToJsonString());
            return;
        }
        foreach (var name in s_sideFiles)
        {
            var file = Path.Combine(model.Path, name);
            if (File.Exists(file))
                writer.Copy(file);
        }
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

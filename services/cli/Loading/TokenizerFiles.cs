using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Tokenizers;

namespace Qbb.Cli.Loading;

/// <summary>Opens the tokenizer of a model, or of a folder that holds nothing else.</summary>
internal static class TokenizerFiles
{
    public static Tokenizer Open(string path)
    {
        var json = Directory.Exists(path) ? Path.Combine(path, "tokenizer.json") : path;
        if (File.Exists(json) && Path.GetFileName(json).EndsWith(".json", StringComparison.OrdinalIgnoreCase))
            return Tokenizer.FromFile(json);
        using var source = ModelSource.Open(path);
        return source.LoadTokenizer();
    }
}

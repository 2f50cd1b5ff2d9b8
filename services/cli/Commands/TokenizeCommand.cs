using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Evaluator.Text;
using Qbb.Models;
using Qbb.Recipes;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb tokenize</c>: the ids of a text, for checking against other implementations.</summary>
internal sealed class TokenizeCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model("A Hugging Face folder (tokenizer.json is enough), or a GGUF file.");
    private readonly Option<string?> _text = new("--text") { Description = "The text itself." };
    private readonly Option<string?> _file = new("--file") { Description = "A UTF-8 file, taken as it is; - reads stdin." };
    private readonly Option<bool> _plain = new("--no-special") { Description = "Leave out the special tokens that the tokenizer puts around a text." };

    public TokenizeCommand() : base("tokenize", "Prints the token ids of a text.",
        "qbb tokenize MODEL --text \"Once upon a time\"", "qbb tokenize model.gguf --file book.txt --json")
    {
        Arguments.Add(_model);
        Options.Add(_text);
        Options.Add(_file);
        Options.Add(_plain);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var (text, file) = (parsed.GetValue(_text), parsed.GetValue(_file));
        if (text is null == file is null)
            throw new UsageException("give either --text TEXT or --file FILE");
        var tokenizer = TokenizerFiles.Open(HubModels.Local(parsed.GetRequiredValue(_model), output, cancel));
        text ??= EvaluationText.Read(file!, TextLayout.Raw, mayBeEmpty: true).Text;
        var ids = tokenizer.Encode(text, !parsed.GetValue(_plain));
        var decoded = tokenizer.Decode(ids);
        output.Result(new JsonObject { ["ids"] = new JsonArray([.. ids.Select(id => (JsonNode)id)]), ["text"] = decoded }, _ =>
        {
            Console.Out.WriteLine(string.Join(' ', ids));
            Console.Error.WriteLine($"{ids.Length} tokens");
        });
    }
}

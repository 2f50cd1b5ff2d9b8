using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Inference.Decoding;
using Qbb.Inference.Templates;
using Qbb.Models.Generation;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb chat</c>: a conversation with a model in the terminal.</summary>
internal sealed class ChatCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _system = new("--system") { Description = "The system message." };
    private readonly Option<int> _tokens = new("--tokens", "-n") { Description = "Tokens of an answer at most.", DefaultValueFactory = _ => 512 };
    private readonly Option<double?> _temperature = new("--temperature") { Description = "0 takes the most likely token. Default: the model's own setting, or 0.8." };
    private readonly Option<double?> _topP = new("--top-p") { Description = "Draw from the most likely tokens that hold this share of the probability. Default: the model's own setting, or 0.95." };
    private readonly Option<double?> _minP = new("--min-p") { Description = "Draw only from tokens of at least this share of the most likely one's probability. Default: the model's own setting, or 0." };
    private readonly Option<double?> _penalty = new("--repetition-penalty") { Description = "Above 1 makes tokens of the conversation less likely. Default: the model's own setting, or 1." };
    private readonly Option<string[]> _stop = SharedOptions.Stop();
    private readonly Option<ulong> _seed = new("--seed") { Description = "Same seed and messages, same answers.", DefaultValueFactory = _ => 0 };
    private readonly ComputeOptions _compute = new();
    private readonly Option<int?> _cacheBits = SharedOptions.CacheBits();

    public ChatCommand() : base("chat", "Talks with a model by its chat template. /clear begins anew, /exit or Ctrl-D ends.",
        "qbb chat OUT", "qbb chat hf:HuggingFaceTB/SmolLM2-135M-Instruct --system \"Answer in one sentence.\"", "echo \"What is a prime?\" | qbb chat OUT --temperature 0 --json")
    {
        Arguments.Add(_model);
        foreach (var option in (Option[])[_system, _tokens, _temperature, _topP, _minP, _penalty, _stop, _seed, _cacheBits, .. _compute.All])
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        using var loaded = TextModel.Open(HubModels.Local(parsed.GetRequiredValue(_model), output, cancel), _compute, parsed, cacheBits: parsed.GetValue(_cacheBits));
        var prompt = ChatPrompt.Of(loaded.Source, loaded.Tokenizer);
        var advised = GenerationSettings.Find(loaded.Source) ?? new();
        var options = new GenerationOptions
        {
            MaxTokens = parsed.GetRequiredValue(_tokens),
            Temperature = parsed.GetValue(_temperature) ?? advised.Temperature ?? 0.8,
            TopK = advised.TopK ?? 0,
            TopP = parsed.GetValue(_topP) ?? advised.TopP ?? 0.95,
            MinP = parsed.GetValue(_minP) ?? advised.MinP ?? 0,
            RepetitionPenalty = parsed.GetValue(_penalty) ?? advised.RepetitionPenalty ?? 1,
            StopIds = prompt.StopIds,
        };
        options.Validate();
        var (isTerminal, seed) = (!Console.IsInputRedirected && !output.Json, parsed.GetRequiredValue(_seed));
        if (isTerminal)
            output.Note("/clear begins anew, /exit or Ctrl-D ends");
        var messages = Start(parsed);
        while (!cancel.IsCancellationRequested)
        {
            if (isTerminal)
                Console.Error.Write("> ");
            if (Console.In.ReadLine() is not { } line || line.Trim() is "/exit")
                break;
            if (line.Trim() is "/clear")
                messages = Start(parsed);
            if (line.Trim() is { Length: 0 } or "/clear")
                continue;
            messages.Add(new JsonObject { ["role"] = "user", ["content"] = line });
            messages.Add(new JsonObject { ["role"] = "assistant", ["content"] = Answer(loaded, prompt.Encode(messages), options, parsed.GetValue(_stop) ?? [], seed++, output, cancel) });
        }
        output.Result(new JsonObject { ["messages"] = messages }, _ => { });
    }

    private JsonArray Start(ParseResult parsed) => parsed.GetValue(_system) is { } system ? [new JsonObject { ["role"] = "system", ["content"] = system }] : [];

    private static string Answer(TextModel loaded, int[] prompt, GenerationOptions options, string[] stops, ulong seed, Output output, CancellationToken cancel)
    {
        var text = new StreamedText(loaded.Tokenizer, prompt, stops, output.Json ? _ => { } : Show);
        try
        {
            loaded.Generate([prompt], [seed], options with { Ends = (_, ids) => text.Add(ids[^1]) }, cancel);
        }
        finally
        {
            // What Ctrl-C interrupts stays, too.
            text.End();
            if (!output.Json)
                Console.Out.WriteLine();
        }
        return text.Text;
    }

    private static void Show(string part)
    {
        Console.Out.Write(part);
        Console.Out.Flush();
    }
}

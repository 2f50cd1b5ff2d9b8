using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
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
    private readonly Option<string[]> _stop = SharedOptions.Stop();
    private readonly Option<ulong> _seed = new("--seed") { Description = "Same seed and messages, same answers.", DefaultValueFactory = _ => 0 };
    private readonly ComputeOptions _compute = new();

    public ChatCommand() : base("chat", "Talks with a model by its chat template. /clear begins anew, /exit or Ctrl-D ends.",
        "qbb chat OUT", "qbb chat hf:HuggingFaceTB/SmolLM2-135M-Instruct --system \"Answer in one sentence.\"", "echo \"What is a prime?\" | qbb chat OUT --temperature 0 --json")
    {
        Arguments.Add(_model);
        foreach (var option in (Option[])[_system, _tokens, _temperature, _topP, _stop, _seed, .. _compute.All])
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var (device, type) = _compute.Apply(parsed);
        using var loaded = LoadedModel.Open(HubModels.Local(parsed.GetRequiredValue(_model), output, cancel), device, type, needsTokenizer: true);
        var prompt = ChatPrompt.Of(loaded);
        var advised = GenerationSettings.Find(loaded.Source) ?? new(null, null, null);
        var options = new GenerationOptions
        {
            MaxTokens = parsed.GetRequiredValue(_tokens),
            Temperature = parsed.GetValue(_temperature) ?? advised.Temperature ?? 0.8,
            TopK = advised.TopK ?? 0,
            TopP = parsed.GetValue(_topP) ?? advised.TopP ?? 0.95,
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

    private static string Answer(LoadedModel loaded, int[] prompt, GenerationOptions options, string[] stops, ulong seed, Output output, CancellationToken cancel)
    {
        var text = new StreamedText(loaded.Tokenizer, prompt, stops, output.Json ? _ => { } : Show);
        try
        {
            new TokenGenerator(loaded.Model).Generate([prompt], [seed], options with { Ends = (_, ids) => text.Add(ids[^1]) }, cancellation: cancel);
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

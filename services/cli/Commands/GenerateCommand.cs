using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Evaluator.Text;
using Qbb.Inference.Decoding;
using Qbb.Models;
using Qbb.Models.Generation;
using Qbb.Recipes;
using Spectre.Console;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb generate</c>: continues a text.</summary>
internal sealed class GenerateCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model("A Hugging Face folder (quantized by qbb or not), or a GGUF file.");
    private readonly Option<string> _prompt = new("--prompt", "-p") { Description = "The text to continue; - reads stdin.", DefaultValueFactory = _ => "" };
    private readonly Option<string[]> _stop = SharedOptions.Stop();
    private readonly Option<int> _tokens = new("--tokens", "-n") { Description = "Tokens to make at most.", DefaultValueFactory = _ => 128 };
    private readonly Option<double> _temperature = new("--temperature") { Description = "0 takes the most likely token.", DefaultValueFactory = _ => 0.8 };
    private readonly Option<int> _topK = new("--top-k") { Description = "Draw from the K most likely tokens only; 0 for all." };
    private readonly Option<double> _topP = new("--top-p") { Description = "Draw from the most likely tokens that hold this share of the probability.", DefaultValueFactory = _ => 1.0 };
    private readonly Option<double> _minP = new("--min-p") { Description = "Draw only from tokens of at least this share of the most likely one's probability; 0 for all." };
    private readonly Option<double> _penalty = new("--repetition-penalty")
    {
        Description = "Above 1 makes tokens that the prompt or the text has less likely; 1 for none.",
        DefaultValueFactory = _ => 1.0,
    };
    private readonly Option<bool> _useConfig = new("--use-generation-config")
    {
        Description = "Take temperature, top-k, top-p, min-p and repetition penalty from the model's generation_config.json (GGUF: general.sampling), where they are not given here.",
    };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Same seed, same text.", DefaultValueFactory = _ => 0 };
    private readonly Option<int> _samples = new("--samples") { Description = "Continuations to make, as one batch.", DefaultValueFactory = _ => 1 };
    private readonly Option<int?> _bases = new("--bases")
    {
        Description = "Of a model that was quantized with --nested, the first n bases alone. Default: all.",
    };
    private readonly ComputeOptions _compute = new();
    private readonly Option<int?> _cacheBits = SharedOptions.CacheBits();
    private readonly Option<ActivationScale?> _integer = SharedOptions.Integer();
    private readonly Option<bool> _noGraph = new("--no-graph")
    {
        Description = "On a GPU: launch every kernel of a token's step, instead of playing the step back as one recorded graph.",
    };

    public GenerateCommand() : base("generate", "Continues a text.",
        "qbb generate MODEL --prompt \"Once upon a time\" --tokens 60",
        "qbb generate OUT --prompt - --stop \"\\n\\n\" < question.txt",
        "qbb generate OUT --prompt \"The sea\" --temperature 0 --json")
    {
        Arguments.Add(_model);
        foreach (var option in (Option[])[_prompt, _tokens, _stop, _temperature, _topK, _topP, _minP, _penalty, _useConfig, _seed, _samples, _bases, _cacheBits, .. _compute.All, _integer, _noGraph])
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        using var loaded = TextModel.Open(
            HubModels.Local(parsed.GetRequiredValue(_model), output, cancel), _compute, parsed, parsed.GetValue(_integer), parsed.GetValue(_bases), parsed.GetValue(_cacheBits));
        var tokenizer = loaded.Tokenizer;
        var given = parsed.GetRequiredValue(_prompt);
        var prompt = tokenizer.Encode(given == EvaluationText.StandardInput ? EvaluationText.Read(given, TextLayout.Raw, mayBeEmpty: true).Text.TrimEnd('\n') : given);
        if (prompt.Length == 0)
            throw new InvalidInputException("the prompt has no tokens and this model has no begin-of-text token", "give --prompt TEXT");
        var samples = parsed.GetRequiredValue(_samples);
        if (samples < 1)
            throw new InvalidInputException($"--samples is {samples}; it must be at least 1");
        var advised = parsed.GetValue(_useConfig) ? GenerationSettings.Of(loaded.Source) : new();
        var options = new GenerationOptions
        {
            MaxTokens = parsed.GetRequiredValue(_tokens),
            Temperature = Chosen(_temperature) ?? advised.Temperature ?? parsed.GetRequiredValue(_temperature),
            TopK = Chosen(_topK) ?? advised.TopK ?? parsed.GetValue(_topK),
            TopP = Chosen(_topP) ?? advised.TopP ?? parsed.GetRequiredValue(_topP),
            MinP = Chosen(_minP) ?? advised.MinP ?? parsed.GetValue(_minP),
            RepetitionPenalty = Chosen(_penalty) ?? advised.RepetitionPenalty ?? parsed.GetRequiredValue(_penalty),
            StopIds = StopIds.Of(loaded.Source),
            Graph = !parsed.GetValue(_noGraph),
        };
        options.Validate();
        if (parsed.GetValue(_useConfig))
        {
            output.Note(string.Create(CultureInfo.InvariantCulture,
                $"temperature {options.Temperature}, top-k {options.TopK}, top-p {options.TopP}, min-p {options.MinP}, repetition penalty {options.RepetitionPenalty}, with the model's generation settings"));
        }
        var watch = Stopwatch.StartNew();
        var seeds = Enumerable.Range(0, samples).Select(k => parsed.GetRequiredValue(_seed) + (ulong)k).ToArray();
        // One sample is shown as it comes, so that Ctrl-C keeps what there is of it.
        var isShown = samples == 1 && !output.Json;
        var stops = parsed.GetValue(_stop) ?? [];
        // Only then is a text decoded after every token.
        var isFollowed = isShown || stops.Length > 0;
        var texts = seeds.Select(_ => new StreamedText(tokenizer, prompt, stops, isShown ? Show : _ => { })).ToArray();
        var start = tokenizer.Decode(prompt, skipSpecialTokens: true);
        if (isShown)
            Show(start);
        IReadOnlyList<GeneratedSequence> results;
        try
        {
            results = loaded.Generate([.. Enumerable.Repeat(prompt, samples)], seeds, options with { Ends = isFollowed ? (row, ids) => texts[row].Add(ids[^1]) : null }, cancel);
        }
        finally
        {
            foreach (var text in texts)
                text.End();
            if (isShown)
                Console.Out.WriteLine();
        }
        if (!isFollowed)
        {
            foreach (var (k, sequence) in results.Index())
                texts[k].AddRange(sequence.Tokens);
        }
        var seconds = watch.Elapsed.TotalSeconds;
        var made = results.Sum(sequence => sequence.Tokens.Count);
        output.Result(new JsonObject
        {
            ["samples"] = new JsonArray([.. results.Select((sequence, k) => new JsonObject
            {
                ["text"] = start + texts[k].Text,
                ["ids"] = new JsonArray([.. sequence.Tokens.Select(id => (JsonNode)id)]),
            })]),
            ["tokensPerSecond"] = made / seconds,
        }, _ =>
        {
            if (!isShown)
                Console.Out.WriteLine(string.Join("\n---\n", texts.Select(text => start + text.Text)));
            Console.Error.WriteLine($"{made} tokens, {made / seconds:0.0} tokens/s");
        });

        static void Show(string part)
        {
            Console.Out.Write(part);
            Console.Out.Flush();
        }

        T? Chosen<T>(Option<T> option)
            where T : struct => parsed.GetResult(option) is { Implicit: false } ? parsed.GetValue(option) : null;
    }
}

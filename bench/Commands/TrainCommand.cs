using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Bench.Training;
using Qbb.Checkpoints;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Evaluator.Text;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Tokenizers;
using Qbb.Recipes;
using Spectre.Console;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench train</c>: makes a small teacher from scratch; how samples/teacher was made.</summary>
internal sealed class TrainCommand : QbbCommand
{
    private const string Begin = "<s>", End = "</s>";

    private readonly Option<string> _text = new("--text") { Description = "Training text: a paragraph a line, documents split by two blank lines.", Required = true };
    private readonly Option<string> _validation = new("--validation") { Description = "Held-out text of the same form.", Required = true };
    private readonly Option<string> _output = SharedOptions.OutputFolder();
    private readonly Option<string?> _from = new("--from") { Description = "A model folder that this command wrote, to go on from with its weights and tokenizer." };
    private readonly Option<string?> _tokenizer = new("--tokenizer") { Description = "A tokenizer.json to use. Default: one is trained on the text." };
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<int?> _threads = SharedOptions.Threads();
    private readonly Option<int> _vocabulary = Number("--vocabulary", "Tokens of the vocabulary.", o => o.Vocabulary);
    private readonly Option<int> _hidden = Number("--hidden", "Width of the model.", o => o.Hidden);
    private readonly Option<int> _intermediate = Number("--intermediate", "Width of the MLP.", o => o.Intermediate);
    private readonly Option<int> _blocks = Number("--blocks", "Transformer blocks.", o => o.Blocks);
    private readonly Option<int> _heads = Number("--heads", "Attention heads.", o => o.Heads);
    private readonly Option<int> _keyValueHeads = Number("--kv-heads", "Heads of keys and values.", o => o.KeyValueHeads);
    private readonly Option<int> _context = Number("--context", "Tokens of a sequence.", o => o.Context);
    private readonly Option<int> _batch = Number("--batch", "Sequences of a step.", o => o.Batch);
    private readonly Option<int> _steps = Number("--steps", "Optimizer steps.", o => o.Steps);
    private readonly Option<int> _evaluateEvery = Number("--evaluate-every", "Steps between two points of the curve.", o => o.EvaluateEvery);
    private readonly Option<double> _cooldown = new("--cooldown") { Description = "Share of the steps over which the rate falls to 0.", DefaultValueFactory = _ => new TrainingOptions().Cooldown };
    private readonly Option<double> _rate = new("--lr") { Description = "Peak learning rate.", DefaultValueFactory = _ => new TrainingOptions().LearningRate };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed of weights and batches.", DefaultValueFactory = _ => new TrainingOptions().Seed };

    public TrainCommand() : base("train", "Trains a small LLaMA and its tokenizer from scratch.",
        "qbb-bench train --text books-train.txt --validation books-valid.txt -o teacher --steps 3000")
    {
        foreach (var option in new Option[] { _text, _validation, _output, _from, _tokenizer, _device, _threads, _vocabulary, _hidden, _intermediate, _blocks,
            _heads, _keyValueHeads, _context, _batch, _steps, _evaluateEvery, _cooldown, _rate, _seed })
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var options = new TrainingOptions
        {
            Vocabulary = parsed.GetRequiredValue(_vocabulary),
            Hidden = parsed.GetRequiredValue(_hidden),
            Intermediate = parsed.GetRequiredValue(_intermediate),
            Blocks = parsed.GetRequiredValue(_blocks),
            Heads = parsed.GetRequiredValue(_heads),
            KeyValueHeads = parsed.GetRequiredValue(_keyValueHeads),
            Context = parsed.GetRequiredValue(_context),
            Batch = parsed.GetRequiredValue(_batch),
            Steps = parsed.GetRequiredValue(_steps),
            EvaluateEvery = parsed.GetRequiredValue(_evaluateEvery),
            Cooldown = parsed.GetRequiredValue(_cooldown),
            LearningRate = parsed.GetRequiredValue(_rate),
            Seed = parsed.GetRequiredValue(_seed),
        };
        options.Validate();
        var (text, _) = EvaluationText.Read(parsed.GetRequiredValue(_text), TextLayout.Raw);
        var (held, _) = EvaluationText.Read(parsed.GetRequiredValue(_validation), TextLayout.Raw);
        output.Note($"tokenising {Units.Bytes(text.Length)} of text");
        var from = parsed.GetValue(_from);
        var tokenizer = (from is null ? parsed.GetValue(_tokenizer) : Path.Combine(from, "tokenizer.json")) is { } path
            ? Tokenizer.FromFile(path)
            : BpeTrainer.Train(new StringReader(text), new BpeTrainerOptions(options.Vocabulary) { SpecialTokens = [Begin, End], BeginOfSequence = Begin });
        int Special(string token) => tokenizer.TokenToId(token) ?? throw new InvalidInputException($"the tokenizer has no token {token}");
        int[] Ids(string from) => BookText.Encode(new StringReader(from), tokenizer, Special(Begin), Special(End));

        var folder = parsed.GetRequiredValue(_output);
        var curve = new JsonArray();
        using var model = ProgressBars.Run(output, "training", report => Trainer.Run(options, Ids(text), Ids(held), device, from is null ? null : Start(from, options, device),
            (point, current) =>
            {
                curve.Add(JsonSerializer.SerializeToNode(point, s_camelCase));
                if (!output.Json)
                    output.Status.MarkupLineInterpolated($"step {point.Step}: loss {point.Loss:0.000}, validation perplexity {point.ValidationPerplexity:0.00}, {point.Seconds:0} s");
                Save(folder, current, tokenizer, curve);
            },
            new Relay<(int Step, double Loss)>(p => report(p.Step, options.Steps, $"loss {p.Loss:0.000}")), cancel));
        output.Result(new JsonObject { ["output"] = folder, ["curve"] = curve.DeepClone() }, _ => Console.Out.WriteLine($"wrote {folder}"));
    }

    private static Transformer Start(string folder, TrainingOptions options, Device device)
    {
        using var source = ModelSource.Open(folder);
        var model = Transformer.Load(source, device, ScalarType.Float32, own: true);
        var expected = DecoderConfig.FromJson(Trainer.Configuration(options));
        var found = model.Config;
        if ((found.VocabularySize, found.HiddenSize, found.IntermediateSize, found.BlockCount, found.HeadCount, found.KeyValueHeadCount)
            != (expected.VocabularySize, expected.HiddenSize, expected.IntermediateSize, expected.BlockCount, expected.HeadCount, expected.KeyValueHeadCount))
            throw new InvalidInputException($"{folder}: has another shape than the options ask for; give the sizes that it was trained with");
        return model;
    }

    private static readonly JsonSerializerOptions s_camelCase = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    private static void Save(string folder, Transformer model, Tokenizer tokenizer, JsonArray curve)
    {
        model.Save(folder, "BF16");
        tokenizer.Save(Path.Combine(folder, "tokenizer.json"));
        File.WriteAllText(Path.Combine(folder, "training.json"), curve.ToJsonString(s_camelCase) + "\n");
    }

    private static Option<int> Number(string name, string description, Func<TrainingOptions, int> standard) =>
        new(name) { Description = description, DefaultValueFactory = _ => standard(new TrainingOptions()) };
}

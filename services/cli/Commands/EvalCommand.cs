using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Evaluator.Accounting;
using Qbb.Evaluator.Scoring;
using Qbb.Evaluator.Text;
using Qbb.Models;
using Qbb.Recipes;
using Spectre.Console;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb eval</c>: perplexity of a model on a text, and how far it is from its teacher.</summary>
internal sealed class EvalCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model("A Hugging Face folder (quantized by qbb or not), or a GGUF file.");
    private readonly Option<string?> _text = new("--text") { Description = "The UTF-8 text to score; - reads stdin." };
    private readonly Option<string?> _task = new("--task")
    {
        Description = "Multiple-choice questions to answer, by log-likelihood: one JSON object a line with context, choices (each with its leading space) and answer (an index); - reads stdin.",
    };
    private readonly Option<TextLayout> _layout = new("--layout")
    {
        Description = "How rows become one text: wikitext (rows joined by two newlines, as in published figures), raw, or auto (by the file's look).",
    };
    private readonly Option<int?> _context = new("--context") { Description = "Tokens of a window. Default: 2048, or the model's longest context if that is shorter." };
    private readonly Option<bool> _allowLong = ModelLimits.AllowLongContext();
    private readonly Option<int?> _windows = new("--windows") { Description = "Score only the first K windows." };
    private readonly Option<string?> _teacher = new("--teacher") { Description = "The unquantized model: adds KL divergence and top-1 agreement." };
    private readonly Option<int?> _bases = SharedOptions.FirstBases();
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<ActivationScale?> _integer = SharedOptions.Integer();
    private readonly Option<int?> _threads = SharedOptions.Threads();

    public EvalCommand() : base("eval", "Scores a model: perplexity over windows of a text that do not overlap, and accuracy on multiple choice.",
        "qbb eval MODEL --text wiki.test.raw --context 2048",
        "qbb eval OUT --teacher MODEL --text wiki.test.raw --windows 20 --json",
        "qbb eval OUT --task questions.jsonl --json",
        "qbb eval NESTED --bases 2 --teacher MODEL --text wiki.test.raw")
    {
        Arguments.Add(_model);
        foreach (var option in new Option[] { _text, _task, _layout, _context, _allowLong, _windows, _teacher, _bases, _device, _integer, _threads })
            Options.Add(option);
        Validators.Add(result =>
        {
            var (text, task) = (result.GetValue(_text), result.GetValue(_task));
            if (text is null && task is null)
                result.AddError("give --text FILE, --task FILE or both");
            else if (text == EvaluationText.StandardInput && task == text)
                result.AddError("--text and --task cannot both read stdin");
        });
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var text = parsed.GetValue(_text) is { } file ? EvaluationText.Read(file, parsed.GetValue(_layout)) : ((string Text, TextLayout Layout)?)null;
        var questions = parsed.GetValue(_task) is { } task ? ChoiceQuestion.ReadAll(task) : null;
        var options = new ScoreOptions(Windows: parsed.GetValue(_windows));
        using var loaded = LoadedModel.Open(HubModels.Local(parsed.GetRequiredValue(_model), output, cancel), device, products: new() { Integer = parsed.GetValue(_integer) }, bases: parsed.GetValue(_bases),
            needsTokenizer: true, check: config =>
            {
                options = options with { Context = ModelLimits.Context(_context.Name, parsed.GetValue(_context), options.Context, config.MaxPositions, parsed.GetValue(_allowLong)) };
                options.Validate();
            });
        var ids = text is { } given ? loaded.Tokenizer.Encode(given.Text) : null;
        if (ids is not null)
            Scorer.Windows(ids, options);
        using var teacher = parsed.GetValue(_teacher) is { } path ? LoadedModel.Open(HubModels.Local(path, output, cancel), device) : null;
        var score = ids is null ? null : ProgressBars.Run(output, "scoring", report => Scorer.Run(loaded.Model, ids, options, teacher?.Model,
            new Relay<ScoreProgress>(p => report(p.Done, p.Total, $"perplexity {Finite(p.Perplexity):0.000}")), cancel));
        var answers = questions is null ? null : ProgressBars.Run(output, "answering",
            report => MultipleChoice.Run(loaded.Model, loaded.Tokenizer, questions, (done, total) => report(done, total, ""), cancel));
        var size = ArtifactSize.Of(loaded.Source, parsed.GetValue(_bases));
        var json = score is null ? new JsonObject() : Json(score, text!.Value.Layout);
        if (answers is not null)
            json["task"] = JsonSerializer.SerializeToNode(answers, JsonSerializerOptions.Web);
        AddSize(json, size, parsed.GetValue(_bases));
        output.Result(json, screen => Print(screen, score, answers, size, text?.Layout));
    }

    private static double Finite(double perplexity) => !double.IsNaN(perplexity) ? perplexity : throw new InvalidInputException(
        "the model gave NaN as a logit; its weights are damaged or too large for the type of calculation");

    private static JsonObject Json(Score score, TextLayout layout) => new()
    {
        ["perplexity"] = score.Perplexity,
        ["windows"] = score.Windows,
        ["tokens"] = score.Tokens,
        ["context"] = score.Context,
        ["layout"] = Wire.NameOf(layout),
        ["kl"] = score.Kl,
        ["top1"] = score.Top1,
        ["seconds"] = score.Seconds,
    };

    private static void AddSize(JsonObject json, ArtifactSize size, int? bases)
    {
        json["bases"] = bases;
        json["bytes"] = size.Bytes;
        json["bitsPerParameter"] = size.BitsPerParameter;
        json["bitsPerWeight"] = size.EffectiveBitsPerWeight;
        json["multiplicationsPerToken"] = size.Operations.Multiplications;
        json["additionsPerToken"] = size.Operations.Additions;
        json["multiplicationsPerTokenFp16"] = size.DenseOperations.Multiplications;
        json["additionsPerTokenFp16"] = size.DenseOperations.Additions;
    }

    private static void Print(IAnsiConsole screen, Score? score, ChoiceScore? answers, ArtifactSize size, TextLayout? layout)
    {
        var grid = new Grid().AddColumn().AddColumn();
        void Row(string name, string value) => grid.AddRow(Markup.Escape(name), Markup.Escape(value));
        if (score is not null)
        {
            Row("perplexity", $"{score.Perplexity:0.0000}");
            Row("protocol", $"{score.Windows} windows of {score.Context} tokens ({score.Tokens:N0}), {Wire.NameOf(layout!)} text");
        }
        if (score?.Kl is { } kl)
            Row("KL to the teacher", $"{kl:0.00000} nats/token");
        if (score?.Top1 is { } top1)
            Row("top-1 agreement", $"{100 * top1:0.00} %");
        if (answers is not null)
        {
            Row("accuracy", $"{Percent(answers.Accuracy, answers.AccuracyError)} of {answers.Questions:N0} questions");
            Row("normalized accuracy", $"{Percent(answers.NormalizedAccuracy, answers.NormalizedAccuracyError)}, by log-likelihood per byte");
        }
        if (answers?.Truncated > 0)
            Row("truncated", $"{answers.Truncated:N0} contexts, longer than the model's");
        Row("linear layers", $"{size.EffectiveBitsPerWeight:0.000} bits/weight, {size.Operations.Multiplications:N0} multiplications and " +
            $"{size.Operations.Additions:N0} additions a token (fp16: {size.DenseOperations.Multiplications:N0} and {size.DenseOperations.Additions:N0})");
        Row("whole model", $"{Units.Bytes(size.Bytes)}, {size.BitsPerParameter:0.000} bits/parameter");
        Row("time", $"{(score?.Seconds ?? 0) + (answers?.Seconds ?? 0):0.0} s{(score is null ? "" : $", {score.Tokens / score.Seconds:N0} tokens/s")}");
        screen.Write(grid);
    }

    private static string Percent(double share, double? error) => error is null ? $"{100 * share:0.0} %" : $"{100 * share:0.0} ± {100 * error:0.0} %";
}

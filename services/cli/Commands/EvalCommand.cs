using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Bases;
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
    private readonly Option<string> _text = new("--text") { Description = "The UTF-8 text to score.", Required = true };
    private readonly Option<TextLayout> _layout = new("--layout")
    {
        Description = "How rows become one text: wikitext (rows joined by two newlines, as in published figures), raw, or auto (by the file's look).",
    };
    private readonly Option<int?> _context = new("--context") { Description = "Tokens of a window. Default: 2048, or the model's longest context if that is shorter." };
    private readonly Option<int?> _windows = new("--windows") { Description = "Score only the first K windows." };
    private readonly Option<string?> _teacher = new("--teacher") { Description = "The unquantized model: adds KL divergence and top-1 agreement." };
    private readonly Option<int?> _bases = SharedOptions.FirstBases();
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<ActivationScale?> _integer = SharedOptions.Integer();
    private readonly Option<int?> _threads = SharedOptions.Threads();

    public EvalCommand() : base("eval", "Scores a model: perplexity over windows of a text that do not overlap.",
        "qbb eval MODEL --text wiki.test.raw --context 2048",
        "qbb eval OUT --teacher MODEL --text wiki.test.raw --windows 20 --json",
        "qbb eval NESTED --bases 2 --teacher MODEL --text wiki.test.raw")
    {
        Arguments.Add(_model);
        foreach (var option in new Option[] { _text, _layout, _context, _windows, _teacher, _bases, _device, _integer, _threads })
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        SharedOptions.ApplyThreads(parsed.GetValue(_threads));
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var (text, layout) = EvaluationText.Read(parsed.GetRequiredValue(_text), parsed.GetValue(_layout));
        using var loaded = LoadedModel.Open(parsed.GetRequiredValue(_model), device, products: new() { Integer = parsed.GetValue(_integer) }, bases: parsed.GetValue(_bases));
        using var teacher = parsed.GetValue(_teacher) is { } path ? LoadedModel.Open(path, device) : null;
        var options = new ScoreOptions(parsed.GetValue(_context) ?? Math.Min(2048, loaded.Model.Config.MaxPositions), parsed.GetValue(_windows));
        options.Validate();
        var ids = loaded.Tokenizer.Encode(text);
        var score = ProgressBars.Run(output, "scoring", report => Scorer.Run(loaded.Model, ids, options, teacher?.Model,
            new Relay<ScoreProgress>(p => report(p.Done, p.Total, $"perplexity {Finite(p.Perplexity):0.000}")), cancel));
        var size = ArtifactSize.Of(loaded.Source, parsed.GetValue(_bases));
        output.Result(Json(score, size, layout, parsed.GetValue(_bases)), screen => Print(screen, score, size, layout));
    }

    private static double Finite(double perplexity) => !double.IsNaN(perplexity) ? perplexity : throw new InvalidInputException(
        "the model gave NaN as a logit; its weights are damaged or too large for the type of calculation");

    private static JsonObject Json(Score score, ArtifactSize size, TextLayout layout, int? bases) => new()
    {
        ["perplexity"] = score.Perplexity,
        ["windows"] = score.Windows,
        ["tokens"] = score.Tokens,
        ["context"] = score.Context,
        ["layout"] = layout.ToString().ToLowerInvariant(),
        ["kl"] = score.Kl,
        ["top1"] = score.Top1,
        ["bases"] = bases,
        ["bytes"] = size.Bytes,
        ["bitsPerParameter"] = size.BitsPerParameter,
        ["bitsPerWeight"] = size.EffectiveBitsPerWeight,
        ["multiplicationsPerToken"] = size.Operations.Multiplications,
        ["additionsPerToken"] = size.Operations.Additions,
        ["multiplicationsPerTokenFp16"] = size.DenseOperations.Multiplications,
        ["additionsPerTokenFp16"] = size.DenseOperations.Additions,
        ["seconds"] = score.Seconds,
    };

    private static void Print(IAnsiConsole screen, Score score, ArtifactSize size, TextLayout layout)
    {
        var grid = new Grid().AddColumn().AddColumn();
        void Row(string name, string value) => grid.AddRow(Markup.Escape(name), Markup.Escape(value));
        Row("perplexity", $"{score.Perplexity:0.0000}");
        Row("protocol", $"{score.Windows} windows of {score.Context} tokens ({score.Tokens:N0}), {layout.ToString().ToLowerInvariant()} text");
        if (score.Kl is { } kl)
            Row("KL to the teacher", $"{kl:0.00000} nats/token");
        if (score.Top1 is { } top1)
            Row("top-1 agreement", $"{100 * top1:0.00} %");
        Row("linear layers", $"{size.EffectiveBitsPerWeight:0.000} bits/weight, {size.Operations.Multiplications:N0} multiplications and " +
            $"{size.Operations.Additions:N0} additions a token (fp16: {size.DenseOperations.Multiplications:N0} and {size.DenseOperations.Additions:N0})");
        Row("whole model", $"{Units.Bytes(size.Bytes)}, {size.BitsPerParameter:0.000} bits/parameter");
        Row("time", $"{score.Seconds:0.0} s, {score.Tokens / score.Seconds:N0} tokens/s");
        screen.Write(grid);
    }
}

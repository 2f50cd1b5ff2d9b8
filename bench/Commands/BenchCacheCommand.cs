using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Bench.Figures;
using Qbb.Bench.Peers;
using Qbb.Checkpoints;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Evaluator.Text;
using Qbb.Inference.Decoding;
using Qbb.Models;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench cache</c>: what a cache of integers costs.</summary>
internal sealed class BenchCacheCommand : QbbCommand
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string> _text = new("--text") { Description = "The text that is predicted.", Required = true };
    private readonly Option<int> _tokens = new("--tokens") { Description = "Tokens of it.", DefaultValueFactory = _ => 1024 };
    private readonly Option<int> _threads = new("--threads") { Description = "CPU threads.", DefaultValueFactory = _ => Environment.ProcessorCount };

    public BenchCacheCommand() : base("cache", "Measures what rounding cached keys and values to integers costs the predictions of a text.",
        "qbb-bench cache OUT --text wiki.test.raw")
    {
        Arguments.Add(_model);
        foreach (var option in new Option[] { _text, _tokens, _threads })
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var model = parsed.GetRequiredValue(_model);
        using var source = ModelSource.Open(model);
        var ids = source.LoadTokenizer().Encode(EvaluationText.Read(parsed.GetRequiredValue(_text)).Text);
        var count = parsed.GetRequiredValue(_tokens);
        if (ids.Length < count || count < 2)
            throw new InvalidInputException($"--tokens is {count}, and the text has {ids.Length}", "give a number of 2 or more, and a text as long");
        var figures = new List<Figure>();
        foreach (var cache in new[] { KvPrecision.Int16, KvPrecision.Int8 })
        {
            var cost = CacheCost.Measure(model, ids[..count], cache, parsed.GetRequiredValue(_threads), cancel);
            figures.Add(new($"{cache}: KL divergence from fp32 × 10⁶", cost.Divergence * 1e6, "nats/token"));
            figures.Add(new($"{cache}: perplexity", cost.Perplexity, ""));
            figures.Add(new($"{cache}: perplexity with fp32", cost.Exact, ""));
        }
        output.Result(new JsonObject { ["figures"] = FigureTable.Json(figures) }, screen => FigureTable.Print(screen, figures, "measured"));
    }
}

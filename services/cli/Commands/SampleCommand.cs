using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Models.Generation;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Sampling;
using Spectre.Console;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb sample</c>: sequences of a teacher's own, to calibrate and distil with.</summary>
internal sealed class SampleCommand : QbbCommand
{
    private static readonly SamplingOptions s_default = new();

    private readonly Argument<string> _teacher = new("TEACHER") { Description = "The model to sample from: a Hugging Face folder, or a GGUF file." };
    private readonly Option<string> _output = SharedOptions.OutputFolder();
    private readonly Option<int> _sequences = new("--sequences") { Description = "Sequences to sample.", DefaultValueFactory = _ => s_default.Sequences };
    private readonly Option<int> _length = new("--length") { Description = "Tokens of a sequence.", DefaultValueFactory = _ => s_default.Length };
    private readonly Option<bool> _allowLong = ModelLimits.AllowLongContext();
    private readonly Option<double> _temperature = new("--temperature") { Description = "Logits are divided by it; 0 takes the most likely token.", DefaultValueFactory = _ => s_default.Temperature };
    private readonly Option<int> _topK = new("--top-k") { Description = "Draw from the K most likely tokens only; 0 for all." };
    private readonly Option<double> _topP = new("--top-p") { Description = "Draw from the most likely tokens that hold this share of the probability.", DefaultValueFactory = _ => s_default.TopP };
    private readonly Option<ulong> _seed = new("--seed") { Description = "Same seed, same sequences, whatever the batch.", DefaultValueFactory = _ => s_default.Seed };
    private readonly Option<int?> _batch = new("--batch") { Description = "Sequences sampled together. Default: what fits, at most 256, on a GPU 4096." };
    private readonly Option<FirstToken> _first = new("--first") { Description = "Distribution of the random first token: uniform over ordinary tokens, or unigram as in --earlier data." };
    private readonly Option<string?> _earlier = new("--earlier") { Description = "Data of an earlier qbb sample, for --first unigram." };
    private readonly Option<bool> _stopAtEos = new("--stop-at-eos") { Description = "End a sequence at the teacher's end-of-text token instead of sampling on." };
    private readonly Option<int> _shardSize = new("--shard-size") { Description = "Sequences per file; an interruption loses at most one file.", DefaultValueFactory = _ => s_default.ShardSize };
    private readonly Option<double> _mostRepetition = new("--max-repetition") { Description = "Leave out sequences with a larger share of repeated 4-grams.", DefaultValueFactory = _ => s_default.MostRepetition };
    private readonly ComputeOptions _compute = new();
    private readonly Option<bool> _force = SharedOptions.Force();

    public SampleCommand() : base("sample", "Samples sequences from a teacher, as data to calibrate with. If interrupted, the same command resumes.",
        "qbb sample TEACHER -o data --sequences 2048 --length 512",
        "qbb sample model.gguf -o data --temperature 0.9 --top-p 0.95 --seed 1",
        "qbb sample TEACHER -o more --first unigram --earlier data --seed 2 --json")
    {
        Arguments.Add(_teacher);
        foreach (var option in (Option[])[_output, _sequences, _length, _allowLong, _temperature, _topK, _topP, _seed, _batch, _first, _earlier, _stopAtEos, _shardSize, _mostRepetition, .. _compute.All, _force])
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var (device, dtype) = _compute.Apply(parsed);
        var options = ReadOptions(parsed);
        options.Validate();
        using var earlier = parsed.GetValue(_earlier) is { } path ? SampledData.Open(path, cancel) : null;
        using var loaded = LoadedModel.Open(HubModels.Local(parsed.GetRequiredValue(_teacher), output, cancel), device, dtype,
            check: config => ModelLimits.Context(_length.Name, options.Length, options.Length, config.MaxPositions, parsed.GetValue(_allowLong)));
        var tokenizer = loaded.TryTokenizer;
        if (tokenizer is null)
            output.Warning("the teacher has no tokenizer: every token counts as ordinary, and broken text is not detected");
        var teacher = new Teacher(loaded.Model, ProgressBars.Digest(output, loaded.Source, cancel), tokenizer, StopIds.Of(loaded.Source));
        var batch = parsed.GetValue(_batch) ?? BatchSize.Default(loaded.Model.Config, options.Length, device, dtype);
        var folder = parsed.GetRequiredValue(_output);
        SamplingResult result;
        try
        {
            result = ProgressBars.Run(output, "sampling", report => new DataSampler(teacher, options, batch, earlier).Run(folder, parsed.GetValue(_force),
                new Relay<SampleProgress>(p => report(p.Done, p.Total, $"{p.TokensPerSecond:N0} tokens/s")), cancel));
        }
        catch (OperationCanceledException)
        {
            if (Directory.Exists(folder))
                output.Warning($"finished shards are kept in {folder}: the same command resumes from them");
            throw;
        }
        foreach (var warning in result.Manifest.Report.Warnings)
            output.Warning(warning);
        output.Result(Json(result), screen => Print(screen, result));
    }

    private SamplingOptions ReadOptions(ParseResult parsed) => new()
    {
        Sequences = parsed.GetRequiredValue(_sequences),
        Length = parsed.GetRequiredValue(_length),
        Temperature = parsed.GetRequiredValue(_temperature),
        TopK = parsed.GetValue(_topK),
        TopP = parsed.GetRequiredValue(_topP),
        Seed = parsed.GetRequiredValue(_seed),
        First = parsed.GetValue(_first),
        StopAtEos = parsed.GetValue(_stopAtEos),
        ShardSize = parsed.GetRequiredValue(_shardSize),
        MostRepetition = parsed.GetRequiredValue(_mostRepetition),
    };

    private static double TokensPerSecond(SamplingResult result) => result.Seconds > 0 ? result.DrawnTokens / result.Seconds : 0;

    private static JsonObject Json(SamplingResult result) => new()
    {
        ["output"] = result.Folder,
        ["sequences"] = result.Manifest.Sequences,
        ["dropped"] = result.Manifest.Dropped.Count,
        ["tokens"] = result.Manifest.Tokens,
        ["shards"] = result.Manifest.Shards.Count,
        ["resumedShards"] = result.ResumedShards,
        ["teacher"] = result.Manifest.Origin.Teacher,
        ["report"] = JsonSerializer.SerializeToNode(result.Manifest.Report, JsonSerializerOptions.Web),
        ["drawnTokens"] = result.DrawnTokens,
        ["seconds"] = result.Seconds,
        ["tokensPerSecond"] = TokensPerSecond(result),
    };

    private static void Print(IAnsiConsole screen, SamplingResult result)
    {
        var report = result.Manifest.Report;
        var grid = new Grid().AddColumn().AddColumn();
        void Row(string name, string value) => grid.AddRow(Markup.Escape(name), Markup.Escape(value));
        Row("output", result.Folder);
        Row("sequences", $"{report.Kept} of {report.Sampled} sampled, {result.Manifest.Tokens:N0} tokens{(result.ResumedShards > 0 ? $", {result.ResumedShards} of {result.Manifest.Shards.Count} shards of an earlier run" : "")}");
        Row("repeated 4-grams", $"{100 * report.Repetition:0.0} %");
        Row("distinct n-grams", $"{report.Distinct1:0.0000} / {report.Distinct2:0.0000} / {report.Distinct3:0.0000} (n = 1, 2, 3)");
        Row("unigram entropy", $"{report.Entropy:0.00} bits a token");
        if (report.Broken is { } broken)
            Row("broken sequences", $"{100 * broken:0.0} % contain invalid UTF-8");
        if (result.DrawnTokens > 0)
            Row("time", $"{result.Seconds:0.0} s, {TokensPerSecond(result):N0} tokens/s");
        screen.Write(grid);
    }
}

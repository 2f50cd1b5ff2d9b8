using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Recipes;
using Qbb.Synthdata.Data;
using Qbb.Synthdata.Filtering;
using Spectre.Console;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb filter</c>: keeps the sampled sequences on which a student is farthest from its teacher.</summary>
internal sealed class FilterCommand : QbbCommand
{
    private static readonly FilterOptions s_default = new();

    private readonly Argument<string> _data = new("DATA") { Description = "A folder that qbb sample or qbb filter wrote." };
    private readonly Option<string> _output = SharedOptions.OutputFolder();
    private readonly Option<string?> _teacher = new("--teacher") { Description = "The model that the data were sampled from." };
    private readonly Option<string?> _student = new("--student") { Description = "The quantized model." };
    private readonly Option<double> _keep = new("--keep") { Description = "Share of the sequences to keep, above 0 and at most 1.", DefaultValueFactory = _ => s_default.Keep };
    private readonly Option<Measure> _measure = new("--measure") { Description = "mse: mean squared difference of the logits; kl: KL(teacher‖student)." };
    private readonly Option<bool> _random = new("--random") { Description = "Keep sequences at random, to compare with; teacher and student are then only for the scores." };
    private readonly Option<ulong?> _seed = new("--seed") { Description = "Seed of the random choice. Default: 0." };
    private readonly Option<int> _batch = new("--batch") { Description = "Sequences that are scored together.", DefaultValueFactory = _ => s_default.Batch };
    private readonly ComputeOptions _compute = new();
    private readonly Option<bool> _force = SharedOptions.Force();

    public FilterCommand() : base("filter", "Keeps the sampled sequences on which a student is farthest from its teacher.",
        "qbb filter data --teacher T --student S --keep 0.5 -o filtered",
        "qbb filter data --teacher T --student S --keep 0.25 --measure kl -o filtered --json",
        "qbb filter data --random --seed 1 --keep 0.5 -o random")
    {
        Arguments.Add(_data);
        foreach (var option in (Option[])[_output, _teacher, _student, _keep, _measure, _random, _seed, _batch, .. _compute.All, _force])
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        CheckTogether(parsed);
        var (device, dtype) = _compute.Apply(parsed);
        var options = new FilterOptions
        {
            Keep = parsed.GetRequiredValue(_keep),
            Measure = parsed.GetValue(_measure),
            Random = parsed.GetValue(_random),
            Seed = parsed.GetValue(_seed) ?? s_default.Seed,
            Batch = parsed.GetRequiredValue(_batch),
        };
        options.Validate();
        var folder = parsed.GetRequiredValue(_output);
        WrittenFiles.CheckTarget(folder, parsed.GetValue(_force));
        LoadedModel? Open(string? model) => model is null ? null : LoadedModel.Open(HubModels.Local(model, output, cancel), device, dtype);
        using var data = SampledData.Open(parsed.GetRequiredValue(_data), cancel);
        using var teacher = Open(parsed.GetValue(_teacher));
        using var student = Open(parsed.GetValue(_student));
        var models = teacher is null || student is null ? null
            : new ScoredPair(teacher.Model, ProgressBars.Digest(output, teacher.Source, cancel), student.Model, ProgressBars.Digest(output, student.Source, cancel));
        var watch = Stopwatch.StartNew();
        var manifest = ProgressBars.Run(output, "filtering", report => new DataFilter(options).Run(data, models, folder, parsed.GetValue(_force),
            new Relay<FilterProgress>(p => report(p.Done, p.Total, $"mean {Spelling(options.Measure)} {p.MeanScore:0.0000}")), cancel));
        output.Result(Json(folder, manifest, watch.Elapsed.TotalSeconds), screen => Print(screen, folder, manifest, watch.Elapsed.TotalSeconds));
    }

    private void CheckTogether(ParseResult parsed)
    {
        var hasTeacher = parsed.GetValue(_teacher) is not null;
        if (hasTeacher != (parsed.GetValue(_student) is not null))
            throw new UsageException("--teacher and --student go together: give both");
        if (!hasTeacher && !parsed.GetValue(_random))
            throw new UsageException("give --teacher and --student, or --random for a choice without them");
        if (parsed.GetValue(_seed) is not null && !parsed.GetValue(_random))
            throw new UsageException("--seed goes with --random: a filter by discrepancy is not random");
    }

    private static string Spelling(Measure measure) => measure.ToString().ToLowerInvariant();

    private static JsonObject Json(string folder, DataManifest manifest, double seconds) => new()
    {
        ["output"] = folder,
        ["sequences"] = manifest.Sequences,
        ["of"] = manifest.Filter!.SourceSequences,
        ["tokens"] = manifest.Tokens,
        ["random"] = manifest.Filter.Random,
        ["measure"] = manifest.Filter.Measure is { } measure ? Spelling(measure) : null,
        ["meanScore"] = manifest.Filter.MeanScore,
        ["meanKeptScore"] = manifest.Filter.MeanKeptScore,
        ["teacher"] = manifest.Filter.Teacher,
        ["student"] = manifest.Filter.Student,
        ["seconds"] = seconds,
    };

    private static void Print(IAnsiConsole screen, string folder, DataManifest manifest, double seconds)
    {
        var filter = manifest.Filter!;
        var grid = new Grid().AddColumn().AddColumn();
        void Row(string name, string value) => grid.AddRow(Markup.Escape(name), Markup.Escape(value));
        Row("output", folder);
        Row("sequences", $"{manifest.Sequences} of {filter.SourceSequences}{(filter.Random ? " at random" : "")}, {manifest.Tokens:N0} tokens");
        if (filter.Measure is { } measure)
            Row($"mean {Spelling(measure)}", $"{filter.MeanKeptScore:0.00000} of those kept, {filter.MeanScore:0.00000} of all");
        Row("time", $"{seconds:0.0} s");
        screen.Write(grid);
    }
}

using System.CommandLine;
using System.CommandLine.Parsing;
using System.Diagnostics;
using Qbb.Cli.Distilling;
using Qbb.Cli.Hub;
using Qbb.Cli.Loading;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Synthdata.Data;

namespace Qbb.Cli.Commands;

/// <summary><c>qbb distill</c>: trains the scales of a quantized model against its teacher.</summary>
internal sealed class DistillCommand : QbbCommand
{
    private static readonly DistillationOptions s_default = new();

    private readonly Argument<string> _student = new("STUDENT") { Description = "A folder that qbb quantize wrote." };
    private readonly Option<string> _teacher = new("--teacher") { Description = "The model that it was quantized from.", Required = true };
    private readonly Option<string?> _data = new("--data") { Description = "A folder that qbb sample or qbb filter wrote." };
    private readonly Option<string?> _text = new("--text") { Description = "A UTF-8 text instead; - reads stdin." };
    private readonly Option<int?> _length = new("--length")
    {
        Description = "Tokens of a sequence of --text. Default: 512, or the model's longest context if that is shorter.",
    };
    private readonly Option<bool> _allowLong = ModelLimits.AllowLongContext();
    private readonly Option<string> _output = SharedOptions.OutputFolder();
    private readonly DistillationChoices _choices = new();
    private readonly Option<int> _checkpointEvery = new("--checkpoint-every")
    {
        Description = "Steps between two checkpoints, from which an interrupted run resumes.",
        DefaultValueFactory = _ => s_default.CheckpointEvery,
    };
    private readonly Option<bool> _checkpointing = new("--activation-checkpointing")
    {
        Description = "Run every block twice to need less memory.",
    };
    private readonly Option<long> _cache = new("--teacher-cache")
    {
        Description = "MiB for states of the teacher that need not be calculated again.",
        DefaultValueFactory = _ => s_default.CacheBytes >> 20,
    };
    private readonly ComputeOptions _compute = new();
    private readonly Option<bool> _force = SharedOptions.Force();

    public DistillCommand() : base("distill",
        "Trains the scales of a quantized model, and its signs if asked, against its teacher. Interrupted, the same command continues where it stopped.",
        "qbb distill STUDENT --teacher T --data filtered -o OUT",
        "qbb distill STUDENT --teacher T --text books.txt -o OUT --loss kd --steps 400 --lr 0.002",
        "qbb distill STUDENT --teacher T --data data -o OUT --loss kd --lr 0.004 --sign-lr 0.003 --feature-weight 2 --steps 2800",
        "qbb distill STUDENT --teacher T --data filtered -o OUT --loss kd-mse-swap --swap-end 0.6 --json")
    {
        Arguments.Add(_student);
        Option[] options =
        [
            _teacher, _data, _text, _length, _allowLong, _output, .. _choices.All, _checkpointEvery, _checkpointing, _cache, .. _compute.All, _force,
        ];
        foreach (var option in options)
            Options.Add(option);
        Validators.Add(CheckTogether);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var (device, type) = _compute.Apply(parsed);
        var recipe = _choices.Read(parsed, type.ToPrecision());
        var options = new DistillationOptions
        {
            Device = device,
            CheckpointEvery = parsed.GetRequiredValue(_checkpointEvery),
            ActivationCheckpointing = parsed.GetValue(_checkpointing),
            CacheBytes = Math.Clamp(parsed.GetRequiredValue(_cache), -1, 1L << 40) << 20,
            Force = parsed.GetValue(_force),
        };
        options.Validate();
        var (student, teacher) = (parsed.GetRequiredValue(_student), HubModels.Local(parsed.GetRequiredValue(_teacher), output, cancel));
        var folder = parsed.GetRequiredValue(_output);
        ITokenSequences data = parsed.GetValue(_data) is { } sampled
            ? new SampledSequences(SampledData.Open(sampled, cancel))
            : TextSequences.Read(parsed.GetRequiredValue(_text)!, teacher, _length.Name, parsed.GetValue(_length), parsed.GetValue(_allowLong));
        using var owned = data as IDisposable;
        var watch = Stopwatch.StartNew();
        DistilledModel model;
        try
        {
            model = ProgressBars.Run(output, "distilling", report => new Distiller(recipe, options)
                .Run(student, teacher, data, folder, DistillationReport.Progress(report), cancel));
        }
        catch (OperationCanceledException)
        {
            var work = ModelQuantizer.WorkFolderOf(folder);
            output.Warning($"the training so far is kept in {work}: the same command resumes from it; delete the folder to discard it");
            throw;
        }
        DistillationReport.Warn(output, model);
        var seconds = watch.Elapsed.TotalSeconds;
        output.Result(DistillationReport.Json(model, seconds), screen => DistillationReport.Print(screen, model, seconds));
    }

    private void CheckTogether(CommandResult result)
    {
        var (hasData, hasText) = (result.GetValue(_data) is not null, result.GetValue(_text) is not null);
        if (hasData == hasText)
            result.AddError("give either --data or --text");
        if (hasData && result.GetValue(_length) is not null)
            result.AddError("--length goes with --text: sampled sequences have their own");
    }
}

using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Recipes;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// A training with its models, which are loaded by the first round. Rounds that follow one another go on from where the one before left the
/// scales and the optimizer, with the teacher's states at hand; only the first reads its checkpoint. Made by <see cref="Distiller.Open"/>.
/// </summary>
public sealed class DistillationSession : IDisposable
{
    private readonly DistillationRecipe _recipe;
    private readonly DistillationOptions _options;
    private readonly ITokenSequences _data;
    private Transformer? _studentModel;
    private Transformer? _teacherModel;
    private DistillationTrainer? _trainer;

    internal DistillationSession(
        ModelSource student, ModelSource teacher, ITokenSequences data, DistillationRecipe recipe, DistillationOptions options)
    {
        (Student, Teacher, _data, _recipe, _options) = (student, teacher, data, recipe, options);
    }

    internal ModelSource Student { get; }

    internal ModelSource Teacher { get; }

    /// <summary>The student's recipe before the distillation.</summary>
    internal Recipe Before { get; init; } = new();

    internal string TeacherDigest { get; init; } = "";

    internal Recipe After => Before with { Distillation = _recipe };

    /// <summary>Bytes that the two models take once loaded; the teacher's states come on top, up to their own limit.</summary>
    public long ModelBytes
    {
        get
        {
            var bytes = _recipe.Precision.ToScalarType().ElementSize();
            return new[] { Student, Teacher }.Sum(source => source.Tensors.Entries.Sum(entry => entry.Count * bytes));
        }
    }

    /// <summary>Trains from one checkpoint to the next, and writes the output when that was the last round.</summary>
    /// <param name="checkpoint">File of the training; written anew at the end of the round. Where it is missing the training begins.</param>
    /// <param name="pause">Asked after every step, with the steps of this round: whether it is over.</param>
    /// <param name="output">The folder to make in the last round.</param>
    /// <param name="cancellation">Stops after the step at hand; the session is of no use then.</param>
    /// <exception cref="DistillationRefusedException">The result is not better than the student, or its loss was not finite twice.</exception>
    public DistillationRound RunRound(string checkpoint, Func<int, bool> pause, string output, CancellationToken cancellation = default)
    {
        var (state, training) = Train(checkpoint, pause, null, cancellation);
        if (training is not null)
        {
            using var writer = ModelFolderWriter.Create(output, force: false);
            Write(writer, training, cancellation);
            writer.Commit();
        }
        return new DistillationRound(state.Step, _recipe.Steps, state.Curve[0].HeldOut, state.Best.HeldOut, training is not null);
    }

    /// <summary>Begins the next round, in memory alone, while the checkpoint of the one before is on its way elsewhere.</summary>
    /// <param name="isOver">Asked before every step.</param>
    public void RunAhead(Func<bool> isOver) => _trainer?.RunAhead(isOver);

    /// <summary>Trains until the end or a pause.</summary>
    /// <exception cref="DistillationRefusedException">The result is not better than the student, or its loss was not finite twice.</exception>
    internal (DistillationState State, TrainingResult? Training) Train(
        string checkpoint, Func<int, bool> pause, IProgress<DistillProgress>? progress, CancellationToken cancellation)
    {
        _trainer ??= Load();
        var (state, training) = _trainer.Run(checkpoint, pause, progress, cancellation);
        if (training is not null)
            ThrowIfNoBetter(training);
        return (state, training);
    }

    /// <summary>Writes the result of the training; returns the size of the model.</summary>
    internal ModelSize Write(ModelFolderWriter writer, TrainingResult training, CancellationToken cancellation) => DistilledFolder.Write(
        writer, Student, Before, After, training, new JsonObject
        {
            ["dataDigest"] = _data.Digest,
            ["trainingSequences"] = _trainer!.TrainingCount,
            ["heldOutSequences"] = _trainer.HeldOutCount,
            ["teacherDigest"] = TeacherDigest,
        }, cancellation);

    public void Dispose()
    {
        _trainer?.Dispose();
        _studentModel?.Dispose();
        _teacherModel?.Dispose();
        Student.Dispose();
        Teacher.Dispose();
    }

    private DistillationTrainer Load()
    {
        _studentModel ??= Transformer.Load(Student, _options.Device, _recipe.Precision.ToScalarType(), BasesLinearLoader.For(Student));
        _teacherModel ??= Transformer.Load(Teacher, _options.Device, _recipe.Precision.ToScalarType(), BasesLinearLoader.For(Teacher));
        if (_options.Device.type == DeviceType.CUDA)
            return new DistillationTrainer(_studentModel, _teacherModel, _data, _recipe, _options);
        // On a CPU the same steps in passes that fit its memory. Running blocks twice changes no gradient.
        var (config, longest) = (_studentModel.Config, Enumerable.Range(0, _data.Count).Max(_data.LengthOf));
        var passes = _recipe.InPassesOf(WorkPlan.PassOfTraining(config.BlockCount, config.HiddenSize, longest, _recipe.Precision));
        var bytes = passes.Batch * WorkPlan.ActivationBytes(config.BlockCount, config.HiddenSize, longest, _recipe.Precision);
        return new DistillationTrainer(_studentModel, _teacherModel, _data, passes, _options with
        {
            ActivationCheckpointing = _options.ActivationCheckpointing || bytes > _options.ActivationBytes,
        });
    }

    private void ThrowIfNoBetter(TrainingResult training)
    {
        if (training.Best.Step > 0)
            return;
        var name = _recipe.Loss == DistillationLoss.Ce ? "cross-entropy" : "KL to the teacher";
        var tried = training.Curve.Skip(1).Select(point => (point.Step, Figure: point.HeldOut.For(_recipe.Loss))).ToList();
        var best = tried.OrderBy(point => double.IsNaN(point.Figure)).ThenBy(point => point.Figure).First();
        throw new DistillationRefusedException(
            $"the distilled student is no better than before: held-out {name} {training.Start.For(_recipe.Loss):g6} at the start, "
            + $"{best.Figure:g6} at best (step {best.Step} of {_recipe.Steps})",
            $"nothing was written; try a smaller --lr than {_recipe.LearningRate:g3}, more --steps or more data", _recipe.Steps, training.Start.Kl);
    }
}

/// <summary>Where a training stands after a round.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Steps">Steps of the whole training.</param>
/// <param name="Start">On the held-out sequences before training.</param>
/// <param name="Best">The same of the best point so far.</param>
/// <param name="Finished">Whether that was the last round.</param>
public sealed record DistillationRound(int Step, int Steps, HeldOutScore Start, HeldOutScore Best, bool Finished);

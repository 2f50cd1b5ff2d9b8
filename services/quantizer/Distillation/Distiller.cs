using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Models;
using Qbb.Models.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Artifacts;
using Qbb.Quantizer.Recipes;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// Trains the scales of a model that qbb quantized against the model it was made from, and writes the result as a new folder, whole or not
/// at all. After an interruption, kill -9 included, the same call continues from its last checkpoint.
/// </summary>
/// <param name="recipe">Choices that the result depends on.</param>
/// <param name="options">The others.</param>
public sealed class Distiller(DistillationRecipe recipe, DistillationOptions options)
{
    private readonly DistillationRecipe _recipe = recipe.Resolve();

    /// <summary>Distils.</summary>
    /// <param name="student">A folder that qbb quantized.</param>
    /// <param name="teacher">The model that it was made from: folder or GGUF file.</param>
    /// <param name="data">What to train on and to hold out.</param>
    /// <param name="output">The folder to make.</param>
    /// <param name="progress">Told after every step.</param>
    /// <param name="cancellation">Stops after the step at hand; the work folder (<see cref="ModelQuantizer.WorkFolderOf"/>) is kept for the
    /// next run.</param>
    /// <exception cref="InvalidInputException">Student, teacher, data and output do not go together.</exception>
    /// <exception cref="DistillationRefusedException">The result is no better than the student, or its loss was not finite twice; nothing
    /// is written.</exception>
    public DistilledModel Run(
        string student, string teacher, ITokenSequences data, string output, IProgress<DistillProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        options.Validate();
        ModelQuantizer.CheckOutput(student, output, options.Force);
        ModelQuantizer.CheckOutput(teacher, output, options.Force);
        using var studentSource = ModelSource.Open(student);
        using var teacherSource = ModelSource.Open(teacher);
        var (before, teacherDigest) = Check(studentSource, teacherSource, data, cancellation);
        var after = before with { Distillation = _recipe };
        var studentDigest = ModelDigest.Compute(studentSource, cancellation);
        using var work = WorkFolder.Open(output, $"distill {studentDigest} {teacherDigest} {data.Digest} {after.Digest} {options.Device.Type}");
        try
        {
            var (_, training, facts) = Train(studentSource, teacherSource, data, work.CheckpointPath, _ => false, progress, cancellation);
            ThrowIfNoBetter(training!);
            var origin = DistilledFolder.ReadMetrics(student)["modelDigest"]?.ToString();
            facts["teacherDigest"] = teacherDigest;
            using var writer = ModelFolderWriter.Create(output, options.Force, work.Assembly);
            var bytes = DistilledFolder.Write(writer, studentSource, before, after, training!, facts, cancellation);
            cancellation.ThrowIfCancellationRequested();
            writer.Commit();
            work.Discard();
            return new DistilledModel(
                Path.GetFullPath(output), training!.Start, training.Best.HeldOut, training.Best.Step, training.Curve, training.ResumedFrom,
                training.LoweredAt, origin is null ? null : origin == teacherDigest, bytes);
        }
        catch (DistillationRefusedException)
        {
            work.Discard();
            throw;
        }
    }

    /// <summary>Trains from one checkpoint to the next, and writes the output when that was the last round.</summary>
    /// <param name="student">A folder that qbb quantized.</param>
    /// <param name="teacher">The model that it was made from: folder or GGUF file.</param>
    /// <param name="data">What to train on and to hold out.</param>
    /// <param name="checkpoint">File of the training; written anew at the end of the round. Where it is missing the training begins.</param>
    /// <param name="pause">Asked after every step, with the steps of this round: whether it is over.</param>
    /// <param name="output">The folder to make in the last round.</param>
    /// <param name="cancellation">Stops after the step at hand.</param>
    /// <exception cref="InvalidInputException">Student, teacher and data do not go together.</exception>
    /// <exception cref="DistillationRefusedException">The result is no better than the student, or its loss was not finite twice.</exception>
    public DistillationRound RunRound(
        string student, string teacher, ITokenSequences data, string checkpoint, Func<int, bool> pause, string output,
        CancellationToken cancellation = default)
    {
        options.Validate();
        using var studentSource = ModelSource.Open(student);
        using var teacherSource = ModelSource.Open(teacher);
        var (before, teacherDigest) = Check(studentSource, teacherSource, data, cancellation);
        var (state, training, facts) = Train(studentSource, teacherSource, data, checkpoint, pause, null, cancellation);
        var round = new DistillationRound(state.Step, _recipe.Steps, state.Curve[0].HeldOut, state.Best.HeldOut, training is not null);
        if (training is null)
            return round;
        ThrowIfNoBetter(training);
        facts["teacherDigest"] = teacherDigest;
        using var writer = ModelFolderWriter.Create(output, force: false);
        DistilledFolder.Write(writer, studentSource, before, before with { Distillation = _recipe }, training, facts, cancellation);
        writer.Commit();
        return round;
    }

    private (Recipe Before, string TeacherDigest) Check(
        ModelSource student, ModelSource teacher, ITokenSequences data, CancellationToken cancellation)
    {
        var before = CheckStudent(student);
        var config = DecoderConfig.FromJson(student.ConfigJson);
        ModelShapes.ThrowIfDifferent(student.Path, config, teacher.Path, DecoderConfig.FromJson(teacher.ConfigJson));
        var teacherDigest = ModelDigest.Compute(teacher, cancellation);
        CheckData(data, config, teacher.Path, teacherDigest);
        return (before, teacherDigest);
    }

    private (DistillationState State, TrainingResult? Training, JsonObject Facts) Train(
        ModelSource studentSource, ModelSource teacherSource, ITokenSequences data, string checkpoint, Func<int, bool> pause,
        IProgress<DistillProgress>? progress, CancellationToken cancellation)
    {
        using var student = Transformer.Load(studentSource, options.Device, _recipe.Type, BasesLinearLoader.For(studentSource));
        using var teacher = Transformer.Load(teacherSource, options.Device, _recipe.Type, BasesLinearLoader.For(teacherSource));
        using var trainer = new DistillationTrainer(student, teacher, data, _recipe, options);
        var (state, result) = trainer.Run(checkpoint, pause, progress, cancellation);
        return (state, result, new JsonObject
        {
            ["dataDigest"] = data.Digest,
            ["trainingSequences"] = trainer.TrainingCount,
            ["heldOutSequences"] = trainer.HeldOutCount,
        });
    }

    private static Recipe CheckStudent(ModelSource student)
    {
        if (student.Format == ModelSource.Gguf || BasesLinearLoader.For(student) is null)
            throw new InvalidInputException($"{student.Path}: is not quantized by qbb; give a folder that qbb quantize wrote");
        var path = Path.Combine(student.Path, "recipe.json");
        if (!File.Exists(path))
            throw new InvalidInputException($"{path}: is missing; give a folder as qbb quantize wrote it");
        var recipe = Recipe.FromJson(File.ReadAllText(path));
        if (recipe.Nested)
            throw new InvalidInputException(
                $"{student.Path}: is nested; its planes serve several models, and training the scales of one leaves the others behind: " +
                "distil a model that was quantized without --nested");
        return recipe.Distillation is null
            ? recipe
            : throw new InvalidInputException($"{student.Path}: is distilled already; give the folder that qbb quantize wrote");
    }

    private void CheckData(ITokenSequences data, DecoderConfig config, string teacher, string teacherDigest)
    {
        _ = new DataOrder(data.Count, _recipe.HeldOut, _recipe.Seed);
        if (data.TeacherDigest is { } sampled && sampled != teacherDigest)
        {
            throw new InvalidInputException(
                $"the data were sampled from another model (digest {sampled}) than the teacher {teacher} (digest {teacherDigest}): sample from "
                + "this teacher, or give that model as --teacher");
        }
        for (var k = 0; k < data.Count; k++)
        {
            var length = data.LengthOf(k);
            if (length < 2)
                throw new InvalidInputException($"sequence {k} of the data has {length} tokens; at least 2 are needed");
            if (length - 1 > config.MaxPositions && config.LearnedPositions)
            {
                throw new InvalidInputException(
                    $"sequence {k} of the data has {length} tokens, the model {config.MaxPositions} positions: cut them shorter");
            }
            var ids = new int[length];
            data.Read(k, ids);
            var outside = Array.FindIndex(ids, id => id < 0 || id >= config.VocabularySize);
            if (outside >= 0)
            {
                throw new InvalidInputException(
                    $"sequence {k} of the data has the token {ids[outside]}, outside the model's vocabulary of {config.VocabularySize}: "
                    + "the data belong to another model");
            }
        }
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
            + $"{best.Figure:g6} at best (step {best.Step} of {_recipe.Steps}). Nothing was written; try a smaller --lr than "
            + $"{_recipe.LearningRate:g3}, more --steps or more data");
    }
}

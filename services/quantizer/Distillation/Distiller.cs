using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;

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

    /// <summary>Says what a model's digest is; a worker knows it without reading the model.</summary>
    public Func<ModelSource, CancellationToken, string> DigestOf { get; init; } = ModelDigest.Compute;

    /// <summary>Distils.</summary>
    /// <param name="student">A folder that qbb quantized.</param>
    /// <param name="teacher">The model that it was made from: folder or GGUF file.</param>
    /// <param name="data">What to train on and to hold out.</param>
    /// <param name="output">The folder to make.</param>
    /// <param name="progress">Told after every step.</param>
    /// <param name="cancellation">Stops after the step at hand; the work folder (<see cref="ModelQuantizer.WorkFolderOf"/>) is kept for the
    /// next run.</param>
    /// <exception cref="InvalidInputException">Student, teacher, data and output do not go together.</exception>
    /// <exception cref="DistillationRefusedException">The result is not better than the student, or its loss was not finite twice; nothing
    /// is written.</exception>
    public DistilledModel Run(
        string student, string teacher, ITokenSequences data, string output, IProgress<DistillProgress>? progress = null,
        CancellationToken cancellation = default)
    {
        options.Validate();
        WrittenFiles.CheckTarget(output, options.Force, student);
        WrittenFiles.CheckTarget(output, options.Force, teacher);
        using var session = Open(student, teacher, data, cancellation);
        var studentDigest = DigestOf(session.Student, cancellation);
        var name = $"distill {studentDigest} {session.TeacherDigest} {data.Digest} {session.After.Digest} {options.Device.type}";
        using var work = WorkFolder.Open(output, name);
        try
        {
            var training = session.Train(work.CheckpointPath, _ => false, progress, cancellation).Training!;
            var origin = QuantizedModel.ReadMetrics(student)["modelDigest"]?.ToString();
            using var writer = ModelFolderWriter.Create(output, options.Force, work.Assembly);
            var size = session.Write(writer, training, cancellation);
            cancellation.ThrowIfCancellationRequested();
            writer.Commit();
            work.Discard();
            return new DistilledModel(
                Path.GetFullPath(output), training.Start, training.Best.HeldOut, training.Best.Step, training.Curve, training.ResumedFrom,
                training.LoweredAt, origin is null ? null : origin == session.TeacherDigest, size);
        }
        catch (DistillationRefusedException)
        {
            work.Discard();
            throw;
        }
    }

    /// <summary>How far a student is from its teacher on some sequences, in the recipe's precision.</summary>
    /// <param name="student">A folder that qbb quantized.</param>
    /// <param name="teacher">The model that it was made from: folder or GGUF file.</param>
    /// <param name="data">The sequences.</param>
    /// <param name="indices">Those to score on.</param>
    /// <param name="cancellation">Stops between batches.</param>
    public HeldOutScore Score(string student, string teacher, ITokenSequences data, IReadOnlyList<int> indices, CancellationToken cancellation = default)
    {
        var type = _recipe.Precision.ToScalarType();
        using var studentSource = ModelSource.Open(student);
        using var teacherSource = ModelSource.Open(teacher);
        using var studentModel = Transformer.Load(studentSource, options.Device, type, BasesLinearLoader.For(studentSource));
        using var teacherModel = Transformer.Load(teacherSource, options.Device, type, BasesLinearLoader.For(teacherSource));
        using var states = new TeacherStates(teacherModel, 0);
        return new HeldOutScorer(studentModel, teacherModel, states, data, indices, _recipe.Batch).Run(cancellation);
    }

    /// <summary>Opens a training to be done in rounds; it loads the models with the first of them.</summary>
    /// <param name="student">A folder that qbb quantized.</param>
    /// <param name="teacher">The model that it was made from: folder or GGUF file.</param>
    /// <param name="data">What to train on and to hold out; it stays open as long as the training.</param>
    /// <param name="cancellation">Stops while the teacher's digest is calculated.</param>
    /// <exception cref="InvalidInputException">Student, teacher and data do not go together.</exception>
    public DistillationSession Open(string student, string teacher, ITokenSequences data, CancellationToken cancellation = default)
    {
        options.Validate();
        var studentSource = ModelSource.Open(student);
        ModelSource? teacherSource = null;
        try
        {
            teacherSource = ModelSource.Open(teacher);
            var before = CheckStudent(studentSource);
            _ = (before with { Distillation = _recipe }).Resolve();
            var config = DecoderConfig.FromJson(studentSource.ConfigJson);
            ModelShapes.ThrowIfDifferent(studentSource.Path, config, teacherSource.Path, DecoderConfig.FromJson(teacherSource.ConfigJson));
            var teacherDigest = DigestOf(teacherSource, cancellation);
            CheckData(data, config, teacherSource.Path, teacherDigest);
            return new DistillationSession(studentSource, teacherSource, data, _recipe, options) { Before = before, TeacherDigest = teacherDigest };
        }
        catch
        {
            studentSource.Dispose();
            teacherSource?.Dispose();
            throw;
        }
    }

    private static Recipe CheckStudent(ModelSource student)
    {
        if (student.Format == ModelSource.Gguf || BasesLinearLoader.For(student) is null)
            throw new InvalidInputException($"{student.Path}: is not quantized by qbb", "give a folder that qbb quantize wrote");
        var path = Path.Combine(student.Path, "recipe.json");
        if (!File.Exists(path))
            throw new InvalidInputException($"{path}: is missing", "give a folder as qbb quantize wrote it");
        var recipe = Recipe.FromJson(File.ReadAllText(path));
        if (recipe.Nested)
            throw new InvalidInputException(
                $"{student.Path}: is nested; its planes serve several models, and training the scales of one leaves the others behind: " +
                "distil a model that was quantized without --nested");
        return recipe.Distillation is null
            ? recipe
            : throw new InvalidInputException($"{student.Path}: is distilled already", "give the folder that qbb quantize wrote");
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
                    $"sequence {k} of the data has {length} tokens, the model {config.MaxPositions} positions", "cut them shorter");
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
}

/// <summary>A finished distillation.</summary>
/// <param name="Folder">The Hugging Face folder.</param>
/// <param name="Start">On the held-out sequences before.</param>
/// <param name="End">On the held-out sequences after.</param>
/// <param name="BestStep">The step whose scales were kept.</param>
/// <param name="Curve">All points.</param>
/// <param name="ResumedFrom">The step that an earlier run had reached; 0 for none.</param>
/// <param name="LoweredAt">The step at which the rate was lowered because the loss was not finite; null if it was not.</param>
/// <param name="TeacherIsOrigin">Whether the teacher is the model that the student says it was made from; null where it does not
/// say.</param>
/// <param name="Size">Of the whole model.</param>
public sealed record DistilledModel(
    string Folder, HeldOutScore Start, HeldOutScore End, int BestStep, IReadOnlyList<CurvePoint> Curve, int ResumedFrom,
    int? LoweredAt, bool? TeacherIsOrigin, ModelSize Size)
{
    /// <summary>What an earlier run finished in a folder; null where that is of another student, recipe or data, or nothing.</summary>
    /// <param name="folder">What <see cref="Distiller.Run"/> wrote.</param>
    /// <param name="after">The recipe with the distillation.</param>
    /// <param name="data">Digest of the sequences.</param>
    public static DistilledModel? TryRead(string folder, Recipe after, string data)
    {
        var metrics = QuantizedModel.ReadMetrics(folder);
        if (metrics["recipeDigest"]?.ToString() != after.Digest || metrics["distillation"] is not JsonObject training || training["dataDigest"]?.ToString() != data)
            return null;
        using var source = ModelSource.Open(folder);
        return new DistilledModel(
            Path.GetFullPath(folder), Member<HeldOutScore>("start"), Member<HeldOutScore>("end"), Member<int>("bestStep"), Member<CurvePoint[]>("curve"), 0,
            Member<int?>("rateLoweredAt"), null, ModelSize.Of(source));

        T Member<T>(string name) => training[name].Deserialize<T>(JsonSerializerOptions.Web)!;
    }
}

/// <summary>
/// A distillation came to nothing that may be published: it is not better than its start, or its loss was not finite twice.
/// </summary>
/// <param name="reason">Why.</param>
/// <param name="remedy">What to do about it.</param>
/// <param name="steps">Steps of the whole training.</param>
/// <param name="startKl">KL to the teacher on held-out sequences before the training.</param>
public sealed class DistillationRefusedException(string reason, string remedy, int steps, double startKl) : InvalidInputException(reason, remedy)
{
    public string Reason { get; } = reason;

    public int Steps { get; } = steps;

    public double StartKl { get; } = startKl;
}

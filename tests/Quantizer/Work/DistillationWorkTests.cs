using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Tests.Distillation;
using Qbb.Quantizer.Work;
using Qbb.Recipes;
using Qbb.Tests;
using Qbb.Workers;
using Qbb.Workers.Models;

namespace Qbb.Quantizer.Tests.Work;

/// <summary>A distillation in rounds of one step, as a worker does it whose units have no time: with the training loaded, and loaded anew each time.</summary>
public sealed class DistillationWorkTests(TinyModels models, ITestOutputHelper output) : IClassFixture<TinyModels>, IDisposable
{
    private const int Sequences = 40;
    private const int Steps = 8;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task No_round_hashes_a_model()
    {
        var read = new List<string>();
        using (FileHashes.Listen((_, _, file) => read.Add(file)))
            await CompareAsync(TinyModels.Teacher, models.Student, length: 16, vocabulary: 256);
        // The test's own data name their teacher's digest.
        read.Distinct().Order().ShouldBe(["config.json", "model.safetensors"]);
        read.Count(file => file == "config.json").ShouldBe(1);
    }

    [Fact]
    public Task Rounds_that_find_their_training_loaded_end_with_the_same_model() => CompareAsync(TinyModels.Teacher, models.Student, length: 16, vocabulary: 256);

    [Fact]
    public async Task A_training_that_is_of_no_use_ends_with_the_student_as_it_was_and_says_why()
    {
        var store = new LocalArtifactStore(_folder.File("store"));
        var recipe = await store.PutAsync(new MemoryStream(
            """{ "steps": 8, "batch": 8, "evaluateEvery": 4, "learningRate": 3, "warmup": 0, "heldOut": 0.2 }"""u8.ToArray()));
        var command = new DistillRound(
            Guid.NewGuid(), await StoreAsync(store, TinyModels.Teacher), await StoreAsync(store, models.Student), recipe.Digest,
            await StoreAsync(store, WorkData.Write(_folder.File("data"), TinyModels.Teacher, Sequences, 16, 256)), Checkpoint: null);
        var options = Options.Create(new WorkerOptions { Folder = _folder.File("work"), Device = "cpu", UnitSeconds = 600 });
        using var folders = new ModelFolders(store, store, options);
        using var warm = new WarmMemory(options);
        var done = await new DistillationWork(folders, warm, options).RunAsync(command, CancellationToken.None);
        (done.Result, done.Finished, done.Step, done.Steps).ShouldBe((command.Student, true, 8, 8));
        done.Note.ShouldNotBeNull().ShouldStartWith("published without distillation: the distilled student is no better than before: held-out KL");
        done.Note.ShouldNotContain("--lr");
        (done.Kl, double.IsFinite(done.StartKl)).ShouldBe((done.StartKl, true));
    }

    /// <summary>For the time alone, with any model: QBB_DISTIL_MODEL names a folder.</summary>
    [Fact]
    public Task So_they_do_with_a_model_that_is_named()
    {
        var teacher = Environment.GetEnvironmentVariable("QBB_DISTIL_MODEL");
        Assert.SkipWhen(teacher is null, "QBB_DISTIL_MODEL names no folder of a model");
        var student = _folder.File("student");
        new ModelQuantizer(new Recipe { Bases = 2, Rounds = 2 }).Run(teacher, student);
        return CompareAsync(teacher, student, length: 16, vocabulary: 256);
    }

    private async Task CompareAsync(string teacher, string student, int length, int vocabulary)
    {
        var store = new LocalArtifactStore(_folder.File("store"));
        var command = new DistillRound(
            Guid.NewGuid(), await StoreAsync(store, teacher), await StoreAsync(store, student), await RecipeAsync(store),
            await StoreAsync(store, WorkData.Write(_folder.File("data"), teacher, Sequences, length, vocabulary)), Checkpoint: null);
        var anew = await RunAsync(store, command, isKept: false);
        var warm = await RunAsync(store, command, isKept: true);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{warm.Rounds} rounds of one step: {warm.Seconds / warm.Rounds:0.000} s each where the training stays loaded, {anew.Seconds / anew.Rounds:0.000} s where it is loaded anew"));
        warm.Result.ShouldBe(anew.Result);
        anew.Found.ShouldBe(0);
        warm.Found.ShouldBe(warm.Rounds - 1);
    }

    private async Task<(Digest Result, int Rounds, int Found, double Seconds)> RunAsync(LocalArtifactStore store, DistillRound first, bool isKept)
    {
        var options = Options.Create(new WorkerOptions { Folder = _folder.File("work"), Device = "cpu", UnitSeconds = 0 });
        using var folders = new ModelFolders(store, store, options);
        using var warm = new WarmMemory(options);
        var work = new DistillationWork(folders, warm, options);
        var watch = Stopwatch.StartNew();
        var (command, rounds) = (first, 0);
        while (true)
        {
            var done = await work.RunAsync(command, CancellationToken.None);
            rounds++;
            if (!isKept)
                warm.MakeRoom(0);
            // A training that stays loaded is a step or more ahead of its checkpoint.
            done.Step.ShouldBeGreaterThanOrEqualTo(rounds);
            done.Step.ShouldBeLessThanOrEqualTo(isKept ? Steps : rounds);
            if (done.Finished)
                return (done.Result, rounds, warm.Found, watch.Elapsed.TotalSeconds);
            command = command with { Checkpoint = done.Result };
        }
    }

    private static async Task<Digest> StoreAsync(LocalArtifactStore store, string folder) => (await ArtifactFolders.StoreAsync(store, folder)).Digest;

    private static async Task<Digest> RecipeAsync(LocalArtifactStore store) => (await store.PutAsync(new MemoryStream(
        """{ "steps": 8, "batch": 8, "evaluateEvery": 2, "learningRate": 0.002, "heldOut": 0.2 }"""u8.ToArray()))).Digest;
}

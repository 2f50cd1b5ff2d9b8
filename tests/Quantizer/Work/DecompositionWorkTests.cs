using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Work;
using Qbb.Recipes;
using Qbb.Tests;
using Qbb.Workers;
using Qbb.Workers.Data;
using Qbb.Workers.Models;

namespace Qbb.Quantizer.Tests.Work;

/// <summary>A calibrated decomposition unit by unit: the same bytes as in one go, and every block is run once, whoever does the units.</summary>
public sealed class DecompositionWorkTests : IDisposable
{
    private const int Sequences = 12;
    private const int Length = 16;

    // Of the smallest.
    private const int Vocabulary = 160;

    private const string Part = """{ "bases": 1, "group": 32, "importance": "full", "rounds": 1 }""";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <param name="name">The model.</param>
    /// <param name="size">Layers of a unit; null for a block, of workers without time.</param>
    /// <param name="isOneWorker">Whether one worker does all units, or each is another's.</param>
    [Theory]
    [InlineData("smollm3", null, false)]
    [InlineData("llama-gqa-tied", null, true)]
    [InlineData("llama-gqa-tied", 3, true)]
    [InlineData("gpt-neox", 3, false)]
    public async Task Units_end_with_the_bytes_of_the_direct_command_and_run_every_block_once(string name, int? size, bool isOneWorker)
    {
        var model = Reference.Path("architectures", name);
        var store = new LocalArtifactStore(_folder.File("store"));
        var (first, blocks, layers) = await CommandAsync(store, model);
        var worker = new Worker(_folder.File("work"), store);
        var (parts, passes) = await RunAsync(first with { Size = size }, () =>
        {
            if (isOneWorker)
                return worker;
            worker.Dispose();
            return worker = new Worker(_folder.File("work"), store);
        });
        using (worker)
        {
            parts.Count.ShouldBe(size is { } each ? (layers + each - 1) / each : blocks);
            passes.ShouldBe(blocks);
            await CheckAsync(worker, first, model, parts);
        }
        await foreach (var (_, result, _) in new LocalUnitResults(store, store.Root).ListAsync())
            (await ArtifactManifest.ReadAsync(store, result.Manifest)).Files.Keys.ShouldAllBe(file => !file.StartsWith("activations"), "nobody needs them any more");
        await foreach (var blob in store.ListAsync())
            (await IsActivationsAsync(store, blob.Digest)).ShouldBeFalse("nobody needs them any more");
    }

    [Theory]
    [InlineData("lost")]
    [InlineData("damaged")]
    public async Task Where_activations_are_lost_the_blocks_before_run_again_to_the_same_bytes(string harm)
    {
        var model = Reference.Path("architectures", "llama-gqa-tied");
        var store = new LocalArtifactStore(_folder.File("store"));
        var (first, blocks, _) = await CommandAsync(store, model);
        var units = 0;
        var worker = new Worker(_folder.File("work"), store);
        var (parts, passes) = await RunAsync(first, () =>
        {
            if (units++ == 0)
                return worker;
            worker.Dispose();
            Harm(store.Root, harm);
            return worker = new Worker(_folder.File("work"), new LocalArtifactStore(store.Root));
        });
        using (worker)
        {
            passes.ShouldBe(blocks + 1);
            await CheckAsync(worker, first, model, parts);
        }
    }

    [Fact]
    public void A_type_of_two_bytes_is_kept_as_it_is()
    {
        var model = Reference.Path("architectures", "llama-gqa-tied");
        using var data = new SampledSequences(SampledTokens.Open(WorkData.Write(_folder.File("data"), model, Sequences, Length, Vocabulary)));
        var options = new CalibrationOptions { DType = ScalarType.BFloat16, TokensPerBatch = 3 * Length };
        var recipe = Recipe.FromPart(Part);
        new ModelQuantizer(recipe, calibration: new CalibrationStream(data, options)).Run(model, _folder.File("direct"));
        var (layers, saved) = (Directory.CreateDirectory(_folder.File("layers")).FullName, Directory.CreateDirectory(_folder.File("saved")).FullName);
        var unit = new UnitRange(0, 7);
        for (var units = 1; unit.Index < units; unit = unit with { Index = unit.Index + 1 })
        {
            var calibration = new CalibrationStream(data, options);
            using var source = ModelSource.Open(model);
            var start = unit.Index == 0 ? null : calibration.Load(DecoderConfig.FromJson(source.ConfigJson), saved);
            var done = new ModelQuantizer(recipe, calibration: calibration).RunUnit(model, unit, layers, start, _ => false);
            units = done.Units;
            done.Activations!.Bytes.ShouldBe(2L * Sequences * Length * DecoderConfig.FromJson(source.ConfigJson).HiddenSize);
            done.Activations.Save(saved);
            done.Activations.Dispose();
        }
        new ModelQuantizer(recipe, calibration: new CalibrationStream(data, options)).Assemble(model, layers, _folder.File("assembled"));
        File.ReadAllBytes(Path.Combine(_folder.File("assembled"), "model.safetensors")).ShouldBe(File.ReadAllBytes(Path.Combine(_folder.File("direct"), "model.safetensors")));
    }

    private async Task CheckAsync(Worker worker, DecomposeLayers first, string model, IReadOnlyList<Digest> parts)
    {
        var direct = _folder.File("direct");
        using (var data = new SampledSequences(SampledTokens.Open(_folder.File("data"))))
            new ModelQuantizer(Recipe.FromPart(Part), calibration: new CalibrationStream(data)).Run(model, direct);
        var assembled = await worker.Work.AssembleAsync(
            new AssembleModel(first.PipelineId, first.Model, first.Decomposition, first.Data, Path.GetFileName(model), parts), CancellationToken.None);
        var folder = Directory.CreateDirectory(_folder.File("assembled")).FullName;
        await worker.Folders.LayOutAsync(assembled.Result, folder);
        foreach (var file in Directory.GetFiles(folder))
            File.ReadAllBytes(file).ShouldBe(File.ReadAllBytes(Path.Combine(direct, Path.GetFileName(file))), Path.GetFileName(file));
    }

    private static async Task<(IReadOnlyList<Digest> Parts, int Passes)> RunAsync(DecomposeLayers command, Func<Worker> workerOf)
    {
        var (parts, passes, units) = (new List<Digest>(), 0, 1);
        while (parts.Count < units)
        {
            var worker = workerOf();
            var before = worker.Work.BlockPasses;
            var done = await worker.Work.DecomposeAsync(command with { Index = parts.Count, Before = [.. parts] }, CancellationToken.None);
            passes += worker.Work.BlockPasses - before;
            parts.Add(done.Result);
            done.Chained.ShouldBeTrue();
            (units, command) = (done.Units, command with { Size = done.Size });
        }
        return (parts, passes);
    }

    private async Task<(DecomposeLayers Command, int Blocks, int Layers)> CommandAsync(LocalArtifactStore store, string model)
    {
        var data = WorkData.Write(_folder.File("data"), model, Sequences, Length, Vocabulary);
        using var source = ModelSource.Open(model);
        var layout = DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors);
        var command = new DecomposeLayers(
            Guid.NewGuid(), (await ArtifactFolders.StoreAsync(store, model)).Digest, (await store.PutAsync(new MemoryStream(Encoding.UTF8.GetBytes(Part)))).Digest,
            (await ArtifactFolders.StoreAsync(store, data)).Digest, 0, null, []);
        return (command, layout.Blocks.Count, layout.Linears.Count());
    }

    private static void Harm(string store, string harm)
    {
        if (harm == "lost")
        {
            Directory.Delete(Path.Combine(store, "units"), recursive: true);
            return;
        }
        foreach (var blob in Directory.EnumerateFiles(Path.Combine(store, "blobs"), "*", SearchOption.AllDirectories).ToList())
        {
            using (var source = File.OpenRead(blob))
            {
                var head = new byte[256];
                if (!Encoding.UTF8.GetString(head, 0, source.Read(head)).Contains("\"blocks\""))
                    continue;
            }
            File.Delete(blob);
            File.WriteAllText(blob, "damaged");
        }
    }

    private static async Task<bool> IsActivationsAsync(LocalArtifactStore store, Digest blob)
    {
        await using var stream = await store.OpenReadAsync(blob);
        var head = new byte[256];
        return Encoding.UTF8.GetString(head, 0, await stream.ReadAtLeastAsync(head, head.Length, throwOnEndOfStream: false)).Contains("\"blocks\"");
    }

    /// <summary>A worker process: what it keeps in memory and on its disk goes with it.</summary>
    private sealed class Worker : IDisposable
    {
        private readonly WarmMemory _memory;

        public Worker(string folder, LocalArtifactStore store)
        {
            var options = Options.Create(new WorkerOptions { Folder = folder, Device = "cpu", UnitSeconds = 0 });
            Folders = new ModelFolders(store, store, options);
            _memory = new WarmMemory(options);
            var activations = new UnitActivations(Folders, _memory, store, new LocalUnitResults(store, store.Root), NullLogger<UnitActivations>.Instance);
            Work = new DecompositionWork(Folders, _memory, activations, options);
        }

        public ModelFolders Folders { get; }

        public DecompositionWork Work { get; }

        public void Dispose()
        {
            _memory.Dispose();
            Folders.Dispose();
        }
    }
}

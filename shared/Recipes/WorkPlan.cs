using System.Runtime.Intrinsics.X86;

namespace Qbb.Recipes;

/// <summary>The counts of a model that decide what work on it takes.</summary>
public sealed record ModelCounts
{
    /// <summary>The linear layers of all blocks: what is quantized.</summary>
    public required IReadOnlyList<(int Out, int In)> Linears { get; init; }

    /// <summary>Embedding, positions, a head of its own and norms.</summary>
    public required long OtherWeights { get; init; }

    /// <summary>Of those the token embedding, and a head of its own.</summary>
    public IReadOnlyList<(int Rows, int Columns)> Embeddings { get; init; } = [];

    public required int Vocabulary { get; init; }

    public required int Hidden { get; init; }

    public required int Blocks { get; init; }

    /// <summary>Features of all heads of a query.</summary>
    public required int QueryWidth { get; init; }

    /// <summary>Features of all heads of a key, or of a value.</summary>
    public required int KeyValueWidth { get; init; }

    /// <summary>Of the files with the weights, which are mapped.</summary>
    public required long FileBytes { get; init; }

    /// <summary>Of the other files that running the model needs: tokenizer and configuration.</summary>
    public long SideBytes { get; init; }

    public long LinearWeights => Linears.Sum(layer => (long)layer.Out * layer.In);

    public long Weights => LinearWeights + OtherWeights;
}

/// <summary>What does the work.</summary>
/// <param name="Cores">Of the CPU.</param>
/// <param name="Gpu">Whether layers run on a GPU.</param>
/// <param name="Bf16">Whether the CPU has instructions for products in bf16.</param>
/// <param name="Avx512">Whether the CPU has AVX-512, as the one that plans were measured on.</param>
public sealed record WorkMachine(int Cores, bool Gpu, bool Bf16 = false, bool Avx512 = true)
{
    /// <summary>What a core with AVX2 does of one with AVX-512: SmolLM2-135M by the balanced preset at N = 3 took 1.65 times what was planned (2 cores of an EPYC).</summary>
    private const double Avx2 = 0.6;

    /// <summary>Below so many weights a model is bound by other things than products.</summary>
    private const long LargeWeights = 20_000_000;

    /// <summary>The cores there are, in cores of the one that plans were measured on.</summary>
    internal double Power => Avx512 ? Cores : Avx2 * Cores;

    /// <summary>This machine.</summary>
    /// <param name="cores">To use.</param>
    /// <param name="gpu">Whether layers run on a GPU.</param>
    /// <param name="bf16">Whether the CPU has instructions for products in bf16.</param>
    public static WorkMachine Here(int cores, bool gpu, bool bf16 = false) => new(cores, gpu, bf16, Avx512F.IsSupported);

    /// <summary>The type of recipes that name none: what a model is planned for decides about it elsewhere, and a pipeline's models are not known.</summary>
    public Precision UsualType => Gpu ? Precision.Bf16 : Precision.F32;

    /// <summary>The type that data are sampled and scales are trained in.</summary>
    public Precision PrecisionFor(ModelCounts model) => Gpu || Bf16 && model.Weights >= LargeWeights ? Precision.Bf16 : Precision.F32;
}

/// <summary>What a piece of work takes.</summary>
/// <param name="Seconds">From the start of the command to its end.</param>
/// <param name="MemoryBytes">Of the process at the peak.</param>
/// <param name="GpuBytes">Of the GPU's memory at the peak; 0 without one.</param>
/// <param name="OutputBytes">What is written.</param>
public sealed record WorkEstimate(double Seconds, long MemoryBytes, long GpuBytes, long OutputBytes);

/// <summary>
/// How much time and memory a model's work will need, from counts alone. The constants are those of one machine, so that others differ by
/// their speed: CPU, 2 cores of a Xeon with AVX-512, from CPU seconds and the peak of
/// <c>/usr/bin/time -v qbb quantize|eval|generate SmolLM2-135M-Instruct.Q4_1.gguf … --threads 1</c> (N = 2, 3 and 4 with g = 128,
/// 32 calibration sequences of 512; 1 and 2 windows of 2048, 4 of 512; 128 tokens); GPU, an H200, from docs/results-gpu.md.
/// </summary>
public static class WorkPlan
{
    private const double Giga = 1e9;

    /// <summary>Programs, libtorch and heaps before the first weight.</summary>
    private const long BaseBytes = 250_000_000;
    private const double CpuStart = 2, GpuStart = 5;

    /// <summary>What libtorch keeps between batches.</summary>
    private const long CalibrationBytes = 250_000_000;

    /// <summary>FLOP a second of a forward in fp32.</summary>
    private const double CpuCoreFlops = 70 * Giga, GpuFlops = 45_000 * Giga;

    /// <summary>How much faster a forward is in bf16 on a CPU that has it.</summary>
    private const double CpuBf16 = 1.57;

    /// <summary>The same of a GPU in bf16: products of a step of sampling, and of training, which narrow layers use less of.</summary>
    private const double GpuSampling = 500_000 * Giga, GpuTraining = 600_000 * Giga, GpuTrainingWidth = 250;

    /// <summary>Seconds that the launches of one block take: of a token's step in sampling, and of a training step, forward and back.</summary>
    private const double GpuSamplingLaunches = 0.00028, GpuTrainingLaunches = 0.0004, CpuSamplingLaunches = 0.001, CpuTrainingLaunches = 0.005;

    /// <summary>What training on a CPU reaches of a forward's FLOP a second; passes over the weights to expand them and to gather gradients.</summary>
    private const double CpuTraining = 0.75, CpuExpansion = 6e-9;

    /// <summary>Activations that a training step keeps of a block, in hidden states.</summary>
    private const int KeptStates = 14;

    /// <summary>What the activations of one pass of a training may take on a CPU: larger passes are no faster there.</summary>
    private const long PassOnCpu = 512L << 20;

    /// <summary>Most sequences that are sampled together.</summary>
    private const int SampledOnGpu = 4096, SampledOnCpu = 256;

    /// <summary>What their cache of keys and values may take.</summary>
    private const long CacheOnGpu = 64L << 30;

    /// <summary>The same on a CPU.</summary>
    public const long CacheOnCpu = 384L << 20;

    /// <summary>Bytes a second of one token after the other, which reads all weights each time.</summary>
    private const double CpuCoreBandwidth = 7 * Giga, GpuBandwidth = 2_000 * Giga;

    /// <summary>Bytes a second and core at which attention on a CPU reads cached keys and values: 88 × 512 tokens of SmolLM2 took 193 s.</summary>
    private const double CpuAttentionBandwidth = 2.3 * Giga;

    /// <summary>Alternating refinement: seconds of a core, or of the GPU, for a weight, with both starts and 15 rounds, by N = 1 to 8.</summary>
    private static readonly double[] s_cpuWeight = [7e-8, 9e-8, 11e-8, 16e-8, 3e-7, 6e-7, 1.2e-6, 2.4e-6];
    private static readonly double[] s_gpuWeight = [8e-11, 9.8e-11, 1.37e-10, 2.63e-10, 4.6e-10, 8e-10, 1.4e-9, 2.42e-9];

    /// <summary>The fit of a target's grid: seconds of a core for a weight.</summary>
    private const double CpuGridWeight = 16e-8;

    /// <summary>Output-aware steps: seconds for a weight and input of its layer, plus those for a layer.</summary>
    private const double CpuCurvature = 2.5e-10, GpuCurvature = 1.4e-12, GpuLayer = 0.008;

    /// <summary>Passes of the calibration through a block, and the products of inputs, in forwards of the linear layers.</summary>
    private const double CalibrationPasses = 5, InputProducts = 1.5;

    /// <summary>Logits are made and scored in chunks of 2²³ elements; a few are alive together.</summary>
    private const long ChunkBytes = 4L << 23;

    /// <summary>Quantizing, with calibration where there are tokens.</summary>
    /// <param name="model">The model.</param>
    /// <param name="recipe">The choices; a gradient refinement or nested bases have no estimate.</param>
    /// <param name="tokens">Of the calibration; 0 for weights alone.</param>
    /// <param name="context">Tokens of a sequence of them.</param>
    /// <param name="machine">Where.</param>
    /// <returns>Null where nothing was measured.</returns>
    public static WorkEstimate? Quantize(ModelCounts model, Recipe recipe, long tokens, int context, WorkMachine machine)
    {
        recipe = recipe.Resolve();
        if (recipe.Nested || recipe.Bits is not null || recipe.Refinement is Refinement.Gradient or Refinement.Simultaneous)
            return null;
        var bases = recipe.Bases;
        var share = recipe.Refinement == Refinement.None ? 0.1 : (1 + (recipe.Rounds ?? 0)) / 16.0 * (recipe.Starts == Starts.Both ? 1 : 0.6);
        // A target's grid is fitted on the CPU alone.
        var onGpu = machine.Gpu && !recipe.IsOnGrid;
        var seconds = onGpu ? GpuStart + model.LinearWeights * s_gpuWeight[bases - 1] * share
            : CpuStart + model.LinearWeights * (recipe.IsOnGrid ? CpuGridWeight : s_cpuWeight[bases - 1] * share) / machine.Power;
        // A layer as it is read and as it becomes; the planes are bits.
        var largest = model.Linears.Max(layer => (long)layer.Out * layer.In);
        var (memory, gpu) = (BaseBytes + 24 * largest + Pages(model), machine.Gpu ? 300_000_000 + 12 * largest : 0);
        if (recipe.Importance != Importance.None)
        {
            var forward = Forward(model, tokens, context, head: false);
            // On a GPU they run in fp32; products of inputs do on a CPU, too.
            seconds += machine.Gpu ? CalibrationPasses * forward / Flops(machine)
                : (CalibrationPasses - InputProducts) * forward / Speed(machine, model) + InputProducts * forward / Flops(machine);
            var inputs = model.Linears.Max(layer => (long)layer.In);
            var store = 4 * tokens * model.Hidden;
            var block = 4 * model.LinearWeights / Math.Max(1, model.Blocks);
            // H, its factor and inverse in double; the activations between blocks; those of a batch.
            var working = 4 * 8 * inputs * inputs + 3 * block + 4L * 2048 * (3 * inputs + 8 * model.Hidden) + 4 * (long)model.Vocabulary * model.Hidden;
            if (recipe.Importance == Importance.Full)
            {
                var steps = model.Linears.Sum(layer => (double)layer.Out * layer.In * layer.In) * (recipe.IsOnGrid ? 1 : bases / 3.0);
                seconds += onGpu ? steps * GpuCurvature + model.Linears.Count * GpuLayer : steps * CpuCurvature / machine.Power;
            }
            memory += CalibrationBytes + (machine.Gpu ? 0 : working + 2 * store);
            gpu += machine.Gpu ? working + store : 0;
        }
        return new(seconds, memory, gpu, OutputBytes(model, recipe));
    }

    /// <summary>Whether a decomposition has work for a GPU: its calibration, or layers that are not solved for on the CPU alone.</summary>
    public static bool UsesGpu(Recipe recipe) => recipe.Resolve() is { Importance: not Importance.None }
        or { Nested: false, IsOnGrid: false, Init: Init.Cascaded, Refinement: Refinement.Alternating, Rounds: > 0 };

    /// <summary>Seconds of one pass of calibration data through all blocks.</summary>
    public static double Pass(ModelCounts model, long tokens, int context, WorkMachine machine) =>
        Forward(model, tokens, context, head: false) / (machine.Gpu ? Flops(machine) : Speed(machine, model));

    /// <summary>Seconds that a sequence adds where several are sampled together.</summary>
    public static double SampleSequence(long weights, int length, WorkMachine machine) => 2.0 * weights * length / Flops(machine);

    /// <summary>Sequences that are sampled together, by the memory of their keys and values.</summary>
    public static int Together(ModelCounts model, int sequences, int length, WorkMachine machine) => (int)Math.Clamp(
        (machine.Gpu ? CacheOnGpu : CacheOnCpu) / Cache(model, length, machine), 1, Math.Min(sequences, machine.Gpu ? SampledOnGpu : SampledOnCpu));

    private static long Cache(ModelCounts model, int length, WorkMachine machine) =>
        (machine.PrecisionFor(model) == Precision.Bf16 ? 4L : 8L) * length * model.Blocks * model.KeyValueWidth;

    /// <summary>Sampling sequences of a model's own.</summary>
    /// <param name="model">The model.</param>
    /// <param name="sequences">How many.</param>
    /// <param name="length">Tokens of each.</param>
    /// <param name="machine">Where.</param>
    public static WorkEstimate Sample(ModelCounts model, int sequences, int length, WorkMachine machine)
    {
        var together = Together(model, sequences, length, machine);
        var cache = together * Cache(model, length, machine);
        var logits = 3L * 4 * together * model.Vocabulary;
        var forward = Forward(model, (long)sequences * length, length / 2, head: true);
        var steps = (sequences + together - 1.0) / together * length;
        if (!machine.Gpu)
            return Loaded(model, machine, forward / Speed(machine, model) + steps * (model.Blocks * CpuSamplingLaunches + cache / 2.0 / (CpuAttentionBandwidth * machine.Power)), cache + logits);
        var reading = steps * (2.0 * model.Weights + cache / 2.0) / (2 * GpuBandwidth);
        var seconds = Math.Max(steps * model.Blocks * GpuSamplingLaunches, 0.002 * steps + forward / GpuSampling + reading);
        return new(GpuStart + seconds, BaseBytes + model.Weights + 1_000_000_000, 2 * model.Weights + cache + logits, 0);
    }

    /// <summary>Seconds of one step of distillation: the teacher's forward, the student's, and the gradients of its inputs and weights.</summary>
    /// <param name="model">Teacher and student.</param>
    /// <param name="batch">Sequences of a step.</param>
    /// <param name="length">Tokens of each.</param>
    /// <param name="machine">Where.</param>
    public static double DistillationStep(ModelCounts model, int batch, int length, WorkMachine machine)
    {
        var tokens = (long)batch * length;
        // On a GPU the teacher's blocks run too, for the loss behind each block; on a CPU its last states are kept after the first epoch.
        var work = (machine.Gpu ? 5 : 4) * Forward(model, tokens, length, head: false) + 6.0 * tokens * model.Vocabulary * model.Hidden;
        return machine.Gpu
            ? model.Blocks * GpuTrainingLaunches + work / (GpuTraining * model.Hidden / (model.Hidden + GpuTrainingWidth))
            : work / (CpuTraining * Speed(machine, model)) + model.LinearWeights * CpuExpansion / machine.Power + model.Blocks * CpuTrainingLaunches;
    }

    /// <summary>Sequences of one pass of a training on a CPU, by the memory of their activations.</summary>
    /// <param name="blocks">Of the model.</param>
    /// <param name="hidden">Features of a state.</param>
    /// <param name="length">Tokens of a sequence.</param>
    /// <param name="type">Of the activations.</param>
    public static int PassOfTraining(int blocks, int hidden, int length, Precision type) =>
        (int)Math.Clamp(PassOnCpu / ActivationBytes(blocks, hidden, length, type), 1, int.MaxValue);

    /// <summary>What a training keeps of one sequence for its gradients.</summary>
    public static long ActivationBytes(int blocks, int hidden, int length, Precision type) =>
        (type == Precision.Bf16 ? 2L : 4L) * KeptStates * blocks * hidden * length;

    /// <summary>Distilling the scales of a quantized model.</summary>
    /// <param name="model">Teacher and student.</param>
    /// <param name="recipe">The choices.</param>
    /// <param name="sequences">Of the data.</param>
    /// <param name="length">Tokens of each.</param>
    /// <param name="machine">Where.</param>
    public static WorkEstimate Distill(ModelCounts model, DistillationRecipe recipe, int sequences, int length, WorkMachine machine)
    {
        var pass = machine.Gpu ? recipe.Batch : recipe.InPassesOf(PassOfTraining(model.Blocks, model.Hidden, length, recipe.Precision)).Batch;
        var tokens = (long)pass * length;
        var held = (long)Math.Max(1, recipe.HeldOut * sequences) * length;
        var looks = 1 + (recipe.Steps + recipe.EvaluateEvery - 1) / recipe.EvaluateEvery;
        var scoring = (looks + 1) * Forward(model, held, length, head: true) / (machine.Gpu ? GpuTraining / 2 : Speed(machine, model));
        var seconds = recipe.Steps * recipe.Accumulate * DistillationStep(model, recipe.Batch, length, machine) + scoring;
        var bytes = machine.Gpu ? 2 : 4;
        var states = Math.Min((long)sequences * length * model.Hidden * bytes, machine.Gpu ? 32L << 30 : 2L << 30);
        var working = (long)bytes * (2 * model.Weights + tokens * model.Blocks * KeptStates * model.Hidden) + 12 * ChunkBytes + states;
        return machine.Gpu
            ? new(GpuStart + seconds, BaseBytes + model.Weights + 1_000_000_000, working, 0)
            : new(CpuStart + seconds, BaseBytes + Pages(model) + working, 0, 0);
    }

    /// <summary>Scoring windows of a text.</summary>
    /// <param name="model">The model.</param>
    /// <param name="windows">How many.</param>
    /// <param name="context">Tokens of each.</param>
    /// <param name="machine">Where.</param>
    public static WorkEstimate Evaluate(ModelCounts model, int windows, int context, WorkMachine machine)
    {
        var activations = 4L * context * (8L * model.Hidden + 4L * model.QueryWidth + 3L * model.Linears.Max(layer => layer.Out)) + 8 * ChunkBytes;
        return Loaded(model, machine, Forward(model, (long)windows * context, context, head: true) / Flops(machine), activations);
    }

    /// <summary>Generating tokens, one after the other.</summary>
    /// <param name="model">The model.</param>
    /// <param name="tokens">How many.</param>
    /// <param name="machine">Where.</param>
    public static WorkEstimate Generate(ModelCounts model, int tokens, WorkMachine machine)
    {
        var bandwidth = machine.Gpu ? GpuBandwidth : CpuCoreBandwidth * machine.Cores;
        var cache = 2L * 4 * model.Blocks * model.KeyValueWidth * tokens;
        return Loaded(model, machine, tokens * (4.0 * model.Weights + cache / 2.0) / bandwidth, cache);
    }

    /// <summary>Bytes of a quantized model: packed layers, embedding and head, the rest in fp16, and the files beside the weights.</summary>
    public static long OutputBytes(ModelCounts model, Recipe recipe) =>
        model.Linears.Sum(layer => StoredBytes.Layer(layer.Out, layer.In, recipe)) + OtherBytes(model, recipe);

    /// <summary>Bytes of what is not quantized to binary bases.</summary>
    public static long OtherBytes(ModelCounts model, Recipe recipe) => model.SideBytes + HeaderBytes * (4L * model.Linears.Count + 16) + model.Embeddings.Sum(matrix => StoredBytes.Embedding(matrix.Rows, matrix.Columns, recipe))
        + 2 * (model.OtherWeights - model.Embeddings.Sum(matrix => (long)matrix.Rows * matrix.Columns));

    /// <summary>Of a tensor's entry in the header of a safetensors file; a layer has up to four tensors.</summary>
    private const int HeaderBytes = 120;

    /// <summary>Mapped pages that stay; the system takes the others back when it wants memory.</summary>
    private static long Pages(ModelCounts model) => Math.Min(model.FileBytes, 100_000_000);

    private static WorkEstimate Loaded(ModelCounts model, WorkMachine machine, double seconds, long working)
    {
        var weights = 4 * model.Weights;
        return machine.Gpu
            ? new(GpuStart + seconds, BaseBytes + weights / 4 + 1_000_000_000, weights + working, 0)
            : new(CpuStart + seconds, BaseBytes + weights + Pages(model) + working, 0, 0);
    }

    /// <summary>FLOP: two for each weight and token, and causal attention calculated in full squares.</summary>
    private static double Forward(ModelCounts model, long tokens, int context, bool head) =>
        2.0 * tokens * (model.LinearWeights + (head ? (double)model.Vocabulary * model.Hidden : 0) + 2.0 * context * model.QueryWidth * model.Blocks);

    private static double Speed(WorkMachine machine, ModelCounts model) =>
        CpuCoreFlops * machine.Power * (machine.PrecisionFor(model) == Precision.Bf16 ? CpuBf16 : 1);

    private static double Flops(WorkMachine machine) => machine.Gpu ? GpuFlops : CpuCoreFlops * machine.Power;
}

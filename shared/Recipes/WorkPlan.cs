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

    public long LinearWeights => Linears.Sum(layer => (long)layer.Out * layer.In);

    public long Weights => LinearWeights + OtherWeights;
}

/// <summary>What does the work.</summary>
/// <param name="Cores">Of the CPU.</param>
/// <param name="Gpu">Whether layers run on a GPU.</param>
public sealed record WorkMachine(int Cores, bool Gpu);

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

    /// <summary>Bytes a second of one token after the other, which reads all weights each time.</summary>
    private const double CpuCoreBandwidth = 7 * Giga, GpuBandwidth = 2_000 * Giga;

    /// <summary>Alternating refinement: seconds of a core, or of the GPU, for a weight, with both starts and 15 rounds, by N = 1 to 8.</summary>
    private static readonly double[] s_cpuWeight = [7e-8, 9e-8, 11e-8, 16e-8, 3e-7, 6e-7, 1.2e-6, 2.4e-6];
    private static readonly double[] s_gpuWeight = [8e-11, 9.8e-11, 1.37e-10, 2.63e-10, 4.6e-10, 8e-10, 1.4e-9, 2.42e-9];

    /// <summary>Output-aware steps: seconds for a weight and input of its layer, plus those for a layer.</summary>
    private const double CpuCurvature = 2.5e-10, GpuCurvature = 1.4e-12, GpuLayer = 0.008;

    /// <summary>Passes of the calibration through a block, and the products of inputs, in forwards of the linear layers.</summary>
    private const double CalibrationPasses = 5;

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
        var seconds = machine.Gpu ? GpuStart + model.LinearWeights * s_gpuWeight[bases - 1] * share
            : CpuStart + model.LinearWeights * s_cpuWeight[bases - 1] * share / machine.Cores;
        // A layer as it is read and as it becomes; the planes are bits.
        var largest = model.Linears.Max(layer => (long)layer.Out * layer.In);
        var (memory, gpu) = (BaseBytes + 24 * largest + Pages(model), machine.Gpu ? 300_000_000 + 12 * largest : 0);
        if (recipe.Importance != Importance.None)
        {
            seconds += CalibrationPasses * Forward(model, tokens, context, head: false) / Flops(machine);
            var inputs = model.Linears.Max(layer => (long)layer.In);
            var store = 4 * tokens * model.Hidden;
            var block = 4 * model.LinearWeights / Math.Max(1, model.Blocks);
            // H, its factor and inverse in double; the activations between blocks; those of a batch.
            var working = 4 * 8 * inputs * inputs + 3 * block + 4L * 2048 * (3 * inputs + 8 * model.Hidden) + 4 * (long)model.Vocabulary * model.Hidden;
            if (recipe.Importance == Importance.Full)
            {
                var steps = model.Linears.Sum(layer => (double)layer.Out * layer.In * layer.In) * (bases / 3.0);
                seconds += machine.Gpu ? steps * GpuCurvature + model.Linears.Count * GpuLayer : steps * CpuCurvature / machine.Cores;
            }
            memory += CalibrationBytes + (machine.Gpu ? 0 : working + 2 * store);
            gpu += machine.Gpu ? working + store : 0;
        }
        return new(seconds, memory, gpu, OutputBytes(model, recipe));
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

    /// <summary>Bytes of the weights of a quantized model: packed layers, embedding and head, and the rest in fp16.</summary>
    public static long OutputBytes(ModelCounts model, Recipe recipe) =>
        model.Linears.Sum(layer => StoredBytes.Bases(layer.Out, layer.In, recipe.Bases, recipe.Group, recipe.Bias))
        + model.Embeddings.Sum(matrix => StoredBytes.Embedding(matrix.Rows, matrix.Columns, recipe))
        + 2 * (model.OtherWeights - model.Embeddings.Sum(matrix => (long)matrix.Rows * matrix.Columns));

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

    private static double Flops(WorkMachine machine) => machine.Gpu ? GpuFlops : CpuCoreFlops * machine.Cores;
}

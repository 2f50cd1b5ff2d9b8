using System.Diagnostics;
using System.Runtime.InteropServices;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Bench.Shapes;

/// <summary>
/// Steps of distillation of a student of random signs against a teacher of random weights, by the trainer that qbb distill uses.
/// </summary>
/// <param name="shape">Of both.</param>
/// <param name="bases">N of the student.</param>
/// <param name="positions">Positions of a sequence.</param>
/// <param name="recipe">Batch, accumulation, loss, type.</param>
/// <param name="options">Device, checkpointing, cache.</param>
internal sealed class DistillBench(ModelShape shape, int bases, int positions, DistillationRecipe recipe, DistillationOptions options)
{
    /// <summary>Dense bf16 peak of NVIDIA's H100 and H200 (datasheet), FLOP/s.</summary>
    private const double Peak = 989e12;

    private const int Group = 128;
    private const int WarmUp = 2;

    public IReadOnlyList<Figure> Run(int steps, Action<int, int> progress, CancellationToken cancel)
    {
        var config = shape.Config;
        using var source = new RandomCheckpoint(config, 1, drawOnDevice: true);
        using var teacher = Transformer.Load(config, source, options.Device, recipe.Precision.ToScalarType());
        using var student = Transformer.Load(config, source, options.Device, recipe.Precision.ToScalarType(), new RandomBasesLoader(bases, Group));
        var sequences = recipe.Batch * recipe.Accumulate * (WarmUp + steps) + 1;
        var data = new RandomSequences(sequences, positions + 1, config.VocabularySize);
        using var trainer = new DistillationTrainer(student, teacher, data, recipe with { HeldOut = 0.5 / sequences }, options);
        var times = new List<double>();
        var loss = 0.0;
        for (var step = 0; step < WarmUp + steps; step++)
        {
            cancel.ThrowIfCancellationRequested();
            var watch = Stopwatch.StartNew();
            loss = trainer.Step(step, recipe.LearningRate);
            if (options.Device.type == DeviceType.CUDA)
                torch.cuda.synchronize(options.Device);
            if (step >= WarmUp)
                times.Add(watch.Elapsed.TotalSeconds);
            progress(step + 1, WarmUp + steps);
        }
        times.Sort();
        var seconds = times[times.Count / 2];
        var tokens = (double)recipe.Batch * recipe.Accumulate * positions;
        var work = Flops(tokens);
        return
        [
            new($"distil N = {bases}, {recipe.Batch} x {recipe.Accumulate} sequences of {positions}", tokens / seconds, "tokens/s"),
            new("one step is one graph", trainer.IsCaptured ? 1 : 0, ""),
            new("one step, median", seconds * 1e3, "ms"),
            new("model work of a step", work / 1e12, "TFLOP"),
            new("model work", work / seconds / 1e12, "TFLOP/s"),
            new("share of 989 TFLOP/s", work / seconds / Peak * 100, "%"),
            new("loss of the last step", loss, "nats"),
            .. PeakMemory.Read(options.Device),
        ];
    }

    /// <summary>
    /// Products that the method asks for, 2 FLOP a weight and token: in the blocks teacher forward, student forward, gradient of the
    /// input (not for the q, k, v of the first block, whose input is not trained) and gradient of the dense weight, from which the
    /// scales' follows; in the head the first three. Causal attention: 4 FLOP a pair of positions and channel forward, twice that
    /// backward. What a program calculates again to save memory does not count.
    /// </summary>
    private double Flops(double tokens)
    {
        var config = shape.Config;
        var linears = shape.Linears(config.BlockCount);
        var untrained = linears.Where(linear => linear is
        {
            Block: 0, Role: LinearRole.Query or LinearRole.Key or LinearRole.Value or LinearRole.QueryKeyValue
        }).Sum(linear => linear.WeightCount);
        var attention = 4.0 * positions / 2 * config.HeadCount * config.HeadDimension * config.BlockCount;
        return tokens * (8.0 * linears.Sum(linear => linear.WeightCount) - 2.0 * untrained + 6.0 * shape.HeadWeights + 4 * attention);
    }
}

/// <summary>Random tokens of one length.</summary>
internal sealed class RandomSequences(int count, int length, int vocabulary) : ITokenSequences
{
    public int Count => count;

    public string Digest => "";

    public string? TeacherDigest => null;

    public int LengthOf(int index) => length;

    public void Read(int index, Span<int> ids)
    {
        var random = new Random(index);
        foreach (ref var id in ids)
            id = random.Next(vocabulary);
    }
}

/// <summary>A student of random signs: its blocks' layers are binary, the rest is the teacher's.</summary>
internal sealed class RandomBasesLoader(int bases, int group) : ILinearLoader
{
    private readonly DenseLinearLoader _dense = new();
    private readonly Random _random = new(1);

    public ILinear Load(ITensorSource source, LinearSpec spec, Device device, ScalarType dtype)
    {
        if (spec.Block < 0)
            return _dense.Load(source, spec, device, dtype);
        var groups = (spec.InFeatures + group - 1) / group;
        var planes = new uint[(long)bases * spec.OutFeatures * SignPacking.WordsPerRow(spec.InFeatures)];
        _random.NextBytes(MemoryMarshal.AsBytes(planes.AsSpan()));
        var alpha = new Half[bases * spec.OutFeatures * groups];
        // Together of about the deviation of the teacher's weights.
        for (var k = 0; k < alpha.Length; k++)
            alpha[k] = (Half)(0.016 / (1 << k / (spec.OutFeatures * groups)));
        var weight = new BinaryBases(bases, spec.OutFeatures, spec.InFeatures, group, planes, alpha, new Half[spec.OutFeatures * groups]);
        return new BinaryLinear(weight, null, device, dtype);
    }
}

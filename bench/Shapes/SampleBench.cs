using System.Diagnostics;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;

namespace Qbb.Bench.Shapes;

/// <summary>
/// Samples sequences from a teacher of random weights, as <c>qbb sample</c> does: one token, then the teacher's own draws.
/// </summary>
internal sealed class SampleBench(ModelShape shape, int batch, int length, Device device, ScalarType dtype, GenerationOptions options)
{
    private const int WarmUp = 8;

    public IReadOnlyList<Figure> Run(Action<int, int> progress, CancellationToken cancel)
    {
        using var source = new RandomCheckpoint(shape.Config, 1, drawOnDevice: true);
        using var model = Transformer.Load(shape.Config, source, device, dtype);
        var generator = new TokenGenerator(model);
        Sample(generator, WarmUp, (_, _) => { }, cancel);
        var steps = length - 1;
        var ends = new List<double>(steps);
        var watch = Stopwatch.StartNew();
        Sample(generator, steps, (row, _) =>
        {
            if (row != 0)
                return;
            ends.Add(watch.Elapsed.TotalSeconds);
            progress(ends.Count, steps);
        }, cancel);
        var seconds = watch.Elapsed.TotalSeconds;
        var part = Math.Max(1, steps / 8);
        return
        [
            new($"sample {batch} sequences of {length}", (double)batch * steps / seconds, "tokens/s"),
            new("one step, on average", seconds / steps * 1e3, "ms"),
            new($"one step, the first {part}", Mean(0, part), "ms"),
            new($"one step, the last {part}", Mean(steps - part, steps), "ms"),
            .. PeakMemory.Read(device),
        ];

        // The first step has no end before it.
        double Mean(int first, int last) => (ends[last - 1] - ends[first]) / Math.Max(1, last - 1 - first) * 1e3;
    }

    private void Sample(TokenGenerator generator, int steps, Action<int, int> onToken, CancellationToken cancel)
    {
        IReadOnlyList<int>[] prompts = [.. Enumerable.Range(0, batch).Select(row => new[] { row % shape.Config.VocabularySize })];
        ulong[] seeds = [.. Enumerable.Range(0, batch).Select(row => (ulong)row)];
        generator.Generate(prompts, seeds, options with { MaxTokens = steps }, onToken, cancel);
    }
}

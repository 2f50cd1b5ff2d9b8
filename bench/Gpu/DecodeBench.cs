using System.Diagnostics;
using Qbb.Bench.Shapes;
using Qbb.Cuda;
using Qbb.Evaluator.Accounting;
using Qbb.Models.Decoder;
using Qbb.Models.Decoder.Graph;
using Qbb.Recipes;

namespace Qbb.Bench.Gpu;

/// <summary>Measures decoding end to end: a model of random weights, a filled cache, and the token step as a graph.</summary>
/// <param name="shape">Sizes of the model.</param>
/// <param name="device">The GPU.</param>
/// <param name="dtype">f16 or bf16.</param>
/// <param name="batch">Sequences.</param>
/// <param name="context">Tokens in the cache before the first measured step.</param>
/// <param name="tokens">Steps of one measurement.</param>
internal sealed class DecodeBench(ModelShape shape, Device device, ScalarType dtype, int batch, int context, int tokens)
{
    private const double LeastSeconds = 2;

    /// <param name="bases">N; null for the dense model.</param>
    /// <param name="group">Inputs that share a scale.</param>
    /// <param name="cancel">Ends between two measurements.</param>
    public IReadOnlyList<Figure> Run(int? bases, int group, CancellationToken cancel)
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var source = new RandomCheckpoint(shape.Config, 1, drawOnDevice: true);
        using var model = Transformer.Load(shape.Config, source, device, dtype, bases is { } n ? new RandomPackedLoader(n, group) : null);
        using var cache = new KvCache(shape.Config, batch, context + tokens, device, dtype);
        var ids = torch.randint(0, shape.Config.VocabularySize, [batch, context], null, torch.CPU);
        model.hidden(ids, cache);
        using var graph = new GraphDecoder(model, cache);
        var next = new long[batch];
        var (seconds, joules) = Measure(graph, next, read: false, cancel);
        var (streamed, _) = Measure(graph, next, read: true, cancel);
        var name = bases is null ? $"{dtype.ShortName()}" : $"N = {bases}, group {group}";
        var counts = TokenCounts.Of(shape.Config, bases, group, context + tokens / 2);
        List<Figure> figures =
        [
            new($"{name}: steps queued ahead", batch / seconds, "tokens/s"),
            new($"{name}: each token brought to the host", batch / streamed, "tokens/s"),
            new($"{name}: one step", seconds * 1e6, "µs"),
            new($"{name}: bytes read a step", counts.Bytes / 1e9, "GB"),
            new($"{name}: bandwidth", counts.Bytes / seconds / 1e9, "GB/s"),
            new($"{name}: multiplications a token", counts.Operations.Multiplications / 1e9, "10⁹"),
            new($"{name}: additions a token", counts.Operations.Additions / 1e9, "10⁹"),
        ];
        if (joules is { } used)
            figures.Add(new($"{name}: energy of the board", used / batch, "J/token"));
        return figures;
    }

    // Again and again over the same places, since the energy counter moves slowly.
    private (double Seconds, double? Joules) Measure(GraphDecoder graph, long[] next, bool read, CancellationToken cancel)
    {
        var counter = DeviceMonitor.Open(device);
        var steps = 0;
        Once();
        var before = counter?.Joules;
        var watch = Stopwatch.StartNew();
        do
        {
            cancel.ThrowIfCancellationRequested();
            steps += Once();
        }
        while (watch.Elapsed.TotalSeconds < LeastSeconds);
        var seconds = watch.Elapsed.TotalSeconds;
        return (seconds / steps, (counter?.Joules - before) / steps);

        int Once()
        {
            graph.Begin(next);
            for (var k = 0; k < tokens; k++)
            {
                graph.Step();
                if (read)
                    graph.Ids.ToArray<long>();
            }
            torch.cuda.synchronize(device);
            return tokens;
        }
    }
}

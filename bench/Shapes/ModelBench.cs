using System.Diagnostics;
using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Recipes;

namespace Qbb.Bench.Shapes;

/// <summary>Measures one model on the CPU; every figure is the median of several runs after a warm-up.</summary>
/// <param name="path">The model.</param>
/// <param name="context">Tokens of the window that is scored.</param>
/// <param name="repeats">Timed runs of a figure.</param>
/// <param name="threads">Threads of the decomposition.</param>
/// <param name="only">What to measure, of <see cref="Parts"/>; all where it is empty.</param>
internal sealed class ModelBench(string path, int context, int repeats, int threads, IReadOnlyCollection<string> only)
{
    private const int NewTokens = 32;

    /// <summary>What can be measured by itself.</summary>
    public static IReadOnlyList<string> Parts { get; } = ["decompose", "score", "generate"];

    public IReadOnlyList<Figure> Run(Action<int, int, string> progress, CancellationToken cancel)
    {
        using var source = ModelSource.Open(path);
        List<(string What, Func<ModelSource, Figure[]> Measure)> parts = [.. Recipes().Select(r => ($"decompose {r.Name}", (Func<ModelSource, Figure[]>)(s => [Decompose(s, r.Name, r.Recipe)])))];
        parts.Add(("score", Score));
        parts.Add(("generate", Generate));
        if (only.Count > 0)
            parts.RemoveAll(part => !only.Contains(part.What.Split(' ')[0]));
        var figures = new List<Figure>();
        foreach (var (what, measure) in parts)
        {
            cancel.ThrowIfCancellationRequested();
            progress(figures.Count, parts.Count + 2, what);
            figures.AddRange(measure(source));
        }
        figures.Add(new Figure("peak memory of this run", PeakMegabytes(), "MB"));
        return figures;
    }

    private static IEnumerable<(string Name, Recipe Recipe)> Recipes()
    {
        foreach (var bases in new[] { 2, 3, 4 })
        {
            yield return ($"round to nearest, {bases} bits", new Recipe { Bases = bases, Init = Init.Rtn, Refinement = Refinement.None });
            yield return ($"greedy, N = {bases}", new Recipe { Bases = bases, Refinement = Refinement.None });
            yield return ($"alternating, greedy start, N = {bases}", new Recipe { Bases = bases, Starts = Starts.Greedy });
            yield return ($"alternating, both starts, N = {bases}", new Recipe { Bases = bases });
            yield return ($"gradient, N = {bases}", new Recipe { Bases = bases, Refinement = Refinement.Gradient, Rounds = 1 });
        }
    }

    // The layers of one block stand for all of them.
    private Figure Decompose(ModelSource source, string name, Recipe recipe)
    {
        var specs = DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors).Blocks[0].Linears;
        LayerWeights[] layers = [.. specs.Select(spec =>
        {
            var values = new float[spec.WeightCount];
            source.Tensors.ReadFloat(spec.Weight, 0, values);
            return new LayerWeights(spec.Module, spec.OutFeatures, spec.InFeatures, values);
        })];
        var method = LayerMethods.For(recipe.Resolve(), torch.CPU, threads);
        var seconds = Median(() =>
        {
            foreach (var layer in layers)
                method.Quantize(layer);
        });
        return new Figure($"decompose, {name}", seconds / specs.Sum(spec => spec.WeightCount) * 1e8, "s per 100 M weights");
    }

    private Figure[] Score(ModelSource source)
    {
        using var off = torch.no_grad();
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(source));
        var length = Math.Min(context, model.Config.MaxPositions);
        using var ids = Tokens(model, 1, length);
        var ours = length / Median(() => model.forward(ids).Dispose());
        List<Figure> figures = [new($"score a window of {length}", ours, "tokens/s")];
        if (BasesLinearLoader.For(source) == null && TryBare(source) is { } bare)
            using (bare)
            {
                bare.Reset(cached: false);
                figures.Add(new($"score a window of {length}, bare libtorch", length / Median(() => bare.Forward(ids).Dispose()), "tokens/s"));
            }
        return [.. figures];
    }

    private Figure[] Generate(ModelSource source)
    {
        using var off = torch.no_grad();
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(source));
        var generator = new TokenGenerator(model);
        var figures = new List<Figure>();
        foreach (var batch in new[] { 1, 8 })
        {
            IReadOnlyList<int>[] prompts = [.. Enumerable.Range(0, batch).Select(k => new[] { k + 1, k + 2, k + 3, k + 4 })];
            var seeds = new ulong[batch];
            var options = new GenerationOptions { MaxTokens = NewTokens, Temperature = 0 };
            figures.Add(new($"generate, batch {batch}", batch * NewTokens / Median(() => generator.Generate(prompts, seeds, options)), "tokens/s"));
            if (BasesLinearLoader.For(source) == null && TryBare(source) is { } bare)
                using (bare)
                    figures.Add(new($"generate, batch {batch}, bare libtorch", batch * NewTokens / Median(() => Greedy(bare, batch)), "tokens/s"));
        }
        return [.. figures];
    }

    private static void Greedy(BareLlama bare, int batch)
    {
        bare.Reset(cached: true);
        using var scope = torch.NewDisposeScope();
        var ids = torch.tensor([.. Enumerable.Range(0, batch).SelectMany(k => new long[] { k + 1, k + 2, k + 3, k + 4 })], batch, 4);
        for (var k = 0; k < NewTokens; k++)
            ids = bare.Forward(ids).narrow(1, -1, 1).argmax(-1);
    }

    private static BareLlama? TryBare(ModelSource source)
    {
        try
        {
            return new BareLlama(source);
        }
        catch (InvalidInputException)
        {
            return null;
        }
    }

    private static Tensor Tokens(Transformer model, int batch, int length)
    {
        var random = new Random(1);
        return torch.tensor([.. Enumerable.Range(0, batch * length).Select(_ => (long)random.Next(model.Config.VocabularySize))], batch, length);
    }

    private double Median(Action run)
    {
        run();
        var times = new double[repeats];
        for (var k = 0; k < repeats; k++)
        {
            var watch = Stopwatch.StartNew();
            run();
            times[k] = watch.Elapsed.TotalSeconds;
        }
        Array.Sort(times);
        return times[repeats / 2];
    }

    private static double PeakMegabytes()
    {
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64 / 1e6;
    }
}

using System.Runtime.InteropServices;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Rounding;
using Qbb.Recipes;

namespace Qbb.Quantizer.Driver;

/// <summary>The error of an embedding or head as it is stored.</summary>
/// <param name="Weight">Name of the matrix.</param>
/// <param name="SquaredNorm">‖W‖².</param>
/// <param name="SquaredError">‖W − Ŵ‖².</param>
public sealed record EmbeddingReport(string Weight, double SquaredNorm, double SquaredError)
{
    /// <summary>‖W − Ŵ‖²/‖W‖².</summary>
    public double RelativeError => LayerReport.Relative(SquaredError, SquaredNorm);
}

/// <summary>
/// A quantized embedding or head in a file of its own, like a finished layer: it appears whole or not at all and serves the next run. A matrix
/// that becomes integers is read some rows at a time, so memory does not grow with the vocabulary.
/// </summary>
/// <param name="Path">The file.</param>
/// <param name="Form">How the matrix is stored.</param>
/// <param name="Report">Its error.</param>
internal sealed record EmbeddingFile(string Path, MatrixForm Form, EmbeddingReport Report)
{
    /// <summary>F64 [2]: ‖W‖² and ‖W − Ŵ‖², known only once all rows are written.</summary>
    private const string Errors = "errors";

    private const int ElementsAtOnce = 1 << 22;

    /// <summary>The tensors of the model, as opposed to what the file keeps beside them.</summary>
    public static IEnumerable<TensorEntry> TensorsOf(ITensorSource file) => file.Entries.Where(entry => entry.Name != Errors && LayerFile.IsStored(entry));

    /// <summary>How a recipe stores the embeddings of a model; null for plain.</summary>
    public static MatrixForm? FormOf(Recipe recipe, DecoderLayout layout, int columns) => recipe.Embedding switch
    {
        EmbeddingForm.Bits16 => null,
        EmbeddingForm.Bases => new BasesForm(
            recipe.Bases, recipe.Bias, [.. layout.Embeddings.Select(ModuleOf)], Math.Min(recipe.Group ?? columns, columns), columns),
        var bits => new IntegerForm((int)bits, Math.Min(recipe.EmbeddingGroup, columns), columns),
    };

    /// <summary>The matrix as it is stored; the caller owns the source.</summary>
    public ITensorSource Open() => new QuantizedTensors(SafetensorsFile.Open(Path), Form);

    /// <summary>Rounds and writes a matrix, unless its file is there.</summary>
    /// <param name="path">The file.</param>
    /// <param name="source">The model.</param>
    /// <param name="weight">Name of the matrix, MODULE.weight.</param>
    /// <param name="form">How the integers are stored.</param>
    /// <param name="cancellation">Stops between blocks of rows.</param>
    /// <exception cref="InvalidInputException">A value is not a finite number.</exception>
    public static EmbeddingFile Write(string path, ITensorSource source, string weight, IntegerForm form, CancellationToken cancellation)
    {
        var (module, rows) = (ModuleOf(weight), source.Describe(weight).Shape[0]);
        if (TryReadReport(path, form, weight, module) is { } finished)
            return new(path, form, finished);
        var scales = new Half[rows * form.Groups];
        var (norm, error) = (0.0, 0.0);
        var exponent = ExponentOf(source, weight, rows, form, cancellation);
        var factor = MathF.ScaleB(1, -exponent);
        using var writer = SafetensorsWriter.Create(path, [.. form.Declare(module, rows, exponent != 0), new TensorDeclaration(Errors, "F64", [2])]);
        ForEachBlock(source, weight, rows, form.Columns, cancellation, (first, count, weights) =>
        {
            var packed = new byte[count * form.RowBytes];
            var sums = new (double Norm, double Error)[count];
            Parallel.For(0, count, () => new sbyte[form.Columns], (row, _, integers) =>
            {
                var w = weights.AsSpan(row * form.Columns, form.Columns);
                sums[row] = RoundRow(w, factor, form, integers, scales.AsSpan((int)(first + row) * form.Groups, form.Groups));
                IntegerPacking.Pack(integers, form.Bits, packed.AsSpan(row * form.RowBytes, form.RowBytes));
                return integers;
            }, _ => { });
            foreach (var sum in sums)
                (norm, error) = (norm + sum.Norm, error + sum.Error);
            writer.WriteBytes(form.Values(module), packed);
        });
        (norm, error) = (Math.ScaleB(norm, 2 * exponent), Math.ScaleB(error, 2 * exponent));
        writer.WriteBytes(form.Scales(module), MemoryMarshal.AsBytes(scales.AsSpan()));
        if (exponent != 0)
            writer.WriteBytes(ScaleExponent.NameOf(module), ScaleExponent.Bytes(exponent));
        writer.WriteBytes(Errors, MemoryMarshal.AsBytes<double>([norm, error]));
        writer.Commit();
        return new(path, form, new(weight, norm, error));
    }

    /// <summary>Decomposes and writes a matrix, unless its file is there.</summary>
    /// <param name="path">The file.</param>
    /// <param name="source">The model.</param>
    /// <param name="weight">Name of the matrix, MODULE.weight.</param>
    /// <param name="form">How the bases are stored.</param>
    /// <param name="method">What decomposes it.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="InvalidInputException">A value is not a finite number, or there are too many.</exception>
    public static EmbeddingFile Write(string path, ITensorSource source, string weight, BasesForm form, ILayerMethod method, CancellationToken cancellation)
    {
        var (module, rows) = (ModuleOf(weight), source.Describe(weight).Shape[0]);
        var spec = new LinearSpec(-1, module, LinearRole.Head, checked((int)rows), form.Columns, false, null, Fusion.None, []);
        var report = LayerFile.TryReadReport(path, spec);
        if (report is null)
        {
            if (spec.WeightCount > Array.MaxLength)
                throw new InvalidInputException($"tensor {weight} has {spec.WeightCount} weights, too many for bases: give --embedding 8");
            var values = new float[spec.WeightCount];
            source.ReadFloat(weight, 0, values);
            var result = method.QuantizeInRange(new LayerWeights(weight, spec.OutFeatures, spec.InFeatures, values), cancellation);
            LayerFile.Write(path, spec, result.Weight, report = result.Report);
        }
        return new(path, form, new(weight, report.SquaredNorm, report.SquaredError));
    }

    private static string ModuleOf(string weight) => weight[..^".weight".Length];

    private static (double Norm, double Error) RoundRow(Span<float> w, float factor, IntegerForm form, sbyte[] integers, Span<Half> scales)
    {
        var (norm, error) = (0.0, 0.0);
        foreach (ref var value in w)
        {
            value *= factor;
            norm += (double)value * value;
        }
        for (var group = 0; group < scales.Length; group++)
        {
            var first = group * form.GroupSize;
            var count = Math.Min(form.GroupSize, w.Length - first);
            (scales[group], var squared) = IntegerRounding.Round(w.Slice(first, count), form.Bits, integers.AsSpan(first, count));
            error += squared;
        }
        return (norm, error);
    }

    /// <summary>The power of two for all scales of the matrix.</summary>
    private static int ExponentOf(ITensorSource source, string weight, long rows, IntegerForm form, CancellationToken cancellation)
    {
        var (least, largest) = (float.PositiveInfinity, 0f);
        ForEachBlock(source, weight, rows, form.Columns, cancellation, (first, count, weights) =>
        {
            WeightChecks.ThrowIfNotFinite(weight, weights.AsSpan(0, count * form.Columns));
            for (var row = 0; row < count; row++)
            {
                for (var start = 0; start < form.Columns; start += form.GroupSize)
                {
                    var group = 0f;
                    foreach (var value in weights.AsSpan(row * form.Columns + start, Math.Min(form.GroupSize, form.Columns - start)))
                        group = Math.Max(group, Math.Abs(value));
                    largest = Math.Max(largest, group);
                    if (group > 0)
                        least = Math.Min(least, group);
                }
            }
        });
        // Candidates of the search are at most a factor of 2 from the plain scale.
        double most = (1 << (form.Bits - 1)) - 1;
        return HalfScales.ExponentOf(least / most / 2, largest / most);
    }

    private static void ForEachBlock(
        ITensorSource source, string weight, long rows, int columns, CancellationToken cancellation, Action<long, int, float[]> use)
    {
        var block = (int)Math.Clamp(ElementsAtOnce / columns, 1, Math.Max(1, rows));
        var weights = new float[block * columns];
        for (long first = 0; first < rows; first += block)
        {
            cancellation.ThrowIfCancellationRequested();
            var count = (int)Math.Min(block, rows - first);
            source.ReadFloat(weight, first * columns, weights.AsSpan(0, count * columns));
            use(first, count, weights);
        }
    }

    private static EmbeddingReport? TryReadReport(string path, IntegerForm form, string weight, string module)
    {
        if (!File.Exists(path))
            return null;
        try
        {
            using var file = SafetensorsFile.Open(path);
            if (!file.Contains(form.Values(module)) || !file.Contains(Errors))
                return null;
            Span<double> errors = stackalloc double[2];
            file.ReadBytes(Errors, 0, MemoryMarshal.AsBytes(errors));
            return new(weight, errors[0], errors[1]);
        }
        catch (InvalidInputException)
        {
            return null;
        }
    }
}

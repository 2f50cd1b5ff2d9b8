using System.Runtime.InteropServices;
using Qbb.Checkpoints;
using Qbb.Models;

namespace Qbb.Bases;

/// <summary>
/// Binary bases as tensors of a safetensors file: per linear module <c>.planes</c> (I32 [N, out, ceil(in/32)]), <c>.alpha</c>
/// (F16 [N, out, groups]) and, with a bias plane, <c>.beta</c> (F16 [out, groups]). A nested weight has for every n below N the scales of its
/// first n planes too: <c>.alpha.n</c> (F16 [n, out, groups]) and <c>.beta.n</c>. A weight on a grid has <c>.step</c> (F16 [out, groups]) in
/// place of alpha, and in place of beta <c>.lowest</c> (I32 [1], in steps), <c>.minimum</c> or <c>.zero</c> (F16 [out, groups]). The layer's own bias keeps
/// its name, <c>.bias</c>. Where fp16 does not reach, a power of two for all scales of the module is <see cref="ScaleExponent"/>.
/// </summary>
public static class BasesTensors
{
    /// <summary>True where the source holds the module in this form.</summary>
    public static bool Contains(ITensorSource source, string module) => source.Contains(Planes(module));

    /// <summary>The tensors of one module, in the order of the file.</summary>
    public static IReadOnlyList<NamedTensor> Write(string module, BinaryBases bases)
    {
        long n = bases.Count, rows = bases.OutFeatures, groups = bases.Groups;
        var tensors = new List<NamedTensor>
        {
            new(Planes(module), "I32", [n, rows, bases.WordsPerRow], Bytes<uint>(bases.Planes)),
            bases.Steps is { } steps ? new(Step(module), "F16", [rows, groups], Bytes<Half>(steps)) : new(Alpha(module), "F16", [n, rows, groups], Bytes<Half>(bases.Alpha)),
        };
        if (bases.Lowest is { } lowest)
            tensors.Add(new(Lowest(module), "I32", [1], BitConverter.GetBytes(lowest)));
        else if (bases.Zeros != null)
            tensors.Add(new(Zero(module), "F16", [rows, groups], Bytes<Half>(bases.Zeros)));
        else if (bases.Minima != null)
            tensors.Add(new(Minimum(module), "F16", [rows, groups], Bytes<Half>(bases.Minima)));
        else if (bases.Beta != null)
            tensors.Add(new(Beta(module), "F16", [rows, groups], Bytes<Half>(bases.Beta)));
        if (bases.Exponent != 0)
            tensors.Add(new(ScaleExponent.NameOf(module), "I32", [1], ScaleExponent.Bytes(bases.Exponent)));
        return tensors;
    }

    /// <summary>The tensors of one nested module, in the order of the file.</summary>
    public static IReadOnlyList<NamedTensor> Write(string module, NestedBases bases)
    {
        var tensors = Write(module, bases.Whole).ToList();
        for (var count = 1; count < bases.Whole.Count; count++)
        {
            var (alpha, beta) = bases.Scales(count);
            tensors.Add(new(Alpha(module, count), "F16", [count, bases.OutFeatures, bases.Whole.Groups], Bytes<Half>(alpha)));
            if (beta != null)
                tensors.Add(new(Beta(module, count), "F16", [bases.OutFeatures, bases.Whole.Groups], Bytes<Half>(beta)));
        }
        return tensors;
    }

    /// <summary>Reads one module; the file holds neither in-features nor the group size, the model's configuration does.</summary>
    /// <param name="source">An open checkpoint.</param>
    /// <param name="module">Name of the linear layer without a suffix.</param>
    /// <param name="outFeatures">Rows that the model's configuration asks for.</param>
    /// <param name="inFeatures">Columns that the model's configuration asks for.</param>
    /// <param name="groupSize">Columns that share a scale; null for row scales.</param>
    /// <param name="bases">Of a nested module only the first planes, with their own scales; null for all.</param>
    /// <exception cref="InvalidInputException">A tensor is missing, or has another type or shape; the message names it.</exception>
    public static BinaryBases Read(ITensorSource source, string module, int outFeatures, int inFeatures, int? groupSize, int? bases = null)
    {
        var (shape, count) = Check(source, module, outFeatures, inFeatures, groupSize, bases);
        var (wanted, group, groups) = (shape.Count, shape.GroupSize, (inFeatures - 1) / shape.GroupSize + 1);
        var (alpha, beta) = wanted == count ? (Alpha(module), Beta(module)) : (Alpha(module, wanted), Beta(module, wanted));
        var words = ReadPlain<uint>(source, Planes(module), ["I32", "U32"], [count, outFeatures, SignPacking.WordsPerRow(inFeatures)], wanted);
        if (wanted == count && source.Contains(Step(module)))
            return ReadGrid(source, module, wanted, outFeatures, inFeatures, group, words);
        return new BinaryBases(
            wanted, outFeatures, inFeatures, group, words,
            ReadPlain<Half>(source, alpha, ["F16"], [wanted, outFeatures, groups], wanted),
            source.Contains(beta) ? ReadPlain<Half>(source, beta, ["F16"], [outFeatures, groups], outFeatures) : null)
        {
            Exponent = shape.Exponent,
        };
    }

    /// <summary>The sizes of one module, told from the file's header.</summary>
    /// <inheritdoc cref="Read"/>
    public static BasesShape Describe(ITensorSource source, string module, int outFeatures, int inFeatures, int? groupSize, int? bases = null) =>
        Check(source, module, outFeatures, inFeatures, groupSize, bases).Shape;

    /// <returns>The sizes that are wanted, and how many planes there are.</returns>
    private static (BasesShape Shape, long Stored) Check(ITensorSource source, string module, int outFeatures, int inFeatures, int? groupSize, int? bases)
    {
        var planes = source.Describe(Planes(module));
        var count = planes.Shape.Count == 3 ? planes.Shape[0] : 0;
        if (count is < 1 or > BinaryBases.MostBases)
            throw new InvalidInputException(
                $"{planes.Name} has the shape [{string.Join(", ", planes.Shape)}]; " +
                $"planes are [bases, out, words] with 1 to {BinaryBases.MostBases} bases");
        if (outFeatures < 1 || inFeatures < 1 || groupSize < 1)
            throw new InvalidInputException($"{module}: sizes {outFeatures} × {inFeatures} and group {groupSize} must be at least 1");
        var wanted = bases ?? (int)count;
        if (wanted != count && (wanted < 1 || wanted > count || !source.Contains(Alpha(module, wanted))))
            throw new InvalidInputException(
                $"{module} has {count} bases and no scales for {wanted} of them: ask for another number, or quantize with --nested");
        var hasBias = wanted == count ? source.Contains(Step(module)) || source.Contains(Beta(module)) : source.Contains(Beta(module, wanted));
        return (new(wanted, outFeatures, inFeatures, Math.Min(groupSize ?? inFeatures, inFeatures), hasBias, ScaleExponent.Read(source, module)), count);
    }

    private static BinaryBases ReadGrid(ITensorSource source, string module, int count, int rows, int columns, int group, uint[] words)
    {
        long[] shape = [rows, (columns - 1) / group + 1];
        var steps = ReadPlain<Half>(source, Step(module), ["F16"], shape, rows);
        int? lowest = source.Contains(Lowest(module)) ? ReadPlain<int>(source, Lowest(module), ["I32"], [1], 1)[0] : null;
        var zeros = lowest is null && source.Contains(Zero(module)) ? ReadPlain<Half>(source, Zero(module), ["F16"], shape, rows) : null;
        var minima = lowest is null && zeros is null ? ReadPlain<Half>(source, Minimum(module), ["F16"], shape, rows) : null;
        return BinaryBases.OnGrid(count, rows, columns, group, words, steps, lowest, minima, zeros).WithExponent(ScaleExponent.Read(source, module));
    }

    /// <summary>All names that a module may have for its scales and biases, those of smaller models included.</summary>
    public static IEnumerable<string> Scales(string module) => Enumerable.Range(1, BinaryBases.MostBases - 1)
        .SelectMany(count => new[] { Alpha(module, count), Beta(module, count) }).Prepend(Beta(module)).Prepend(Alpha(module));

    /// <summary>Name of the signs of a module.</summary>
    public static string Planes(string module) => module + ".planes";

    /// <summary>Name of the scales of a module.</summary>
    public static string Alpha(string module) => module + ".alpha";

    /// <summary>Name of the bias plane of a module.</summary>
    public static string Beta(string module) => module + ".beta";

    /// <summary>Name of the steps of a module on a grid.</summary>
    public static string Step(string module) => module + ".step";

    /// <summary>Name of the lowest level of a module on a grid, in steps.</summary>
    public static string Lowest(string module) => module + ".lowest";

    /// <summary>Name of the lowest levels of the groups of a module on a grid.</summary>
    public static string Minimum(string module) => module + ".minimum";

    /// <summary>Name of the zero points of the groups of a module on a grid.</summary>
    public static string Zero(string module) => module + ".zero";

    /// <summary>Name of the scales of the first planes of a nested module.</summary>
    public static string Alpha(string module, int count) => $"{Alpha(module)}.{count}";

    /// <summary>Name of the biases that go with the first planes of a nested module.</summary>
    public static string Beta(string module, int count) => $"{Beta(module)}.{count}";

    /// <summary>The first <paramref name="count"/> of the outermost dimension.</summary>
    private static unsafe T[] ReadPlain<T>(ITensorSource source, string name, string[] types, long[] shape, long count)
        where T : unmanaged
    {
        var entry = source.Describe(name);
        if (!types.Contains(entry.Type))
            throw new InvalidInputException($"{name} is stored as {entry.Type}; binary bases need {types[0]}");
        if (!entry.Shape.SequenceEqual(shape))
            throw new InvalidInputException(
                $"{name} has the shape [{string.Join(", ", entry.Shape)}] " +
                $"where the model and its group size ask for [{string.Join(", ", shape)}]");
        if (entry.Bytes > Array.MaxLength || entry.Bytes != entry.Count * sizeof(T))
            throw new InvalidInputException($"{name} has {entry.Bytes} bytes for {entry.Count} elements of {entry.Type}");
        var elements = new T[entry.Count / shape[0] * count];
        source.ReadBytes(name, 0, MemoryMarshal.AsBytes(elements.AsSpan()));
        return elements;
    }

    private static byte[] Bytes<T>(T[] elements)
        where T : unmanaged => MemoryMarshal.AsBytes<T>(elements).ToArray();
}

/// <summary>The sizes of a sum of binary matrices.</summary>
/// <param name="Count">N.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="GroupSize">Columns that share a scale.</param>
/// <param name="HasBias">Whether groups have a bias.</param>
/// <param name="Exponent">All scales are multiplied by 2 to this.</param>
public readonly record struct BasesShape(int Count, int OutFeatures, int InFeatures, int GroupSize, bool HasBias, int Exponent);

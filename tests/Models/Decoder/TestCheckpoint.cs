using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder;

/// <summary>A checkpoint in memory. Unlike <see cref="RandomCheckpoint"/> its biases and norms are random too, and its weights large enough to matter.</summary>
internal sealed class TestCheckpoint : ITensorSource
{
    private readonly Dictionary<string, (TensorEntry Entry, float[] Values)> _tensors = [];

    public IReadOnlyList<TensorEntry> Entries => [.. _tensors.Values.Select(tensor => tensor.Entry)];

    public static TestCheckpoint Random(DecoderConfig config, int seed, Func<string, string>? rename = null)
    {
        var random = new Random(seed);
        var checkpoint = new TestCheckpoint();
        using var shapes = new RandomCheckpoint(config, 0);
        foreach (var entry in shapes.Entries)
        {
            var isNorm = entry.Shape.Count == 1 && entry.Name.EndsWith(".weight", StringComparison.Ordinal);
            var (centre, width) = isNorm ? (config.Norm == NormKind.RmsPlusOne ? 0 : 1, 0.3) : (0, entry.Shape.Count == 1 ? 0.3 : 0.15);
            var values = new float[entry.Count];
            for (var i = 0; i < values.Length; i++)
                values[i] = (float)(centre + width * Normal(random));
            checkpoint.Add(rename?.Invoke(entry.Name) ?? entry.Name, values, [.. entry.Shape]);
        }
        return checkpoint;
    }

    public void Add(string name, float[] values, params long[] shape) =>
        _tensors[name] = (new TensorEntry(name, "F32", shape, 4 * values.LongLength), values);

    public void Remove(string name) => _tensors.Remove(name).ShouldBeTrue();

    public bool Contains(string name) => _tensors.ContainsKey(name);

    public TensorEntry Describe(string name) => Find(name).Entry;

    public void ReadFloat(string name, long first, Span<float> destination) => Find(name).Values.AsSpan((int)first, destination.Length).CopyTo(destination);

    public unsafe bool TryGetPointer(string name, out byte* pointer)
    {
        pointer = null;
        return false;
    }

    public void Dispose()
    {
    }

    private (TensorEntry Entry, float[] Values) Find(string name) =>
        _tensors.TryGetValue(name, out var tensor) ? tensor : throw new InvalidInputException($"the test checkpoint has no tensor {name}");

    private static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}

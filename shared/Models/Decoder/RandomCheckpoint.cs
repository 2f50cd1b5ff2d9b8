using System.Text;
using Qbb.Checkpoints;
using Qbb.Models.Generation;

namespace Qbb.Models.Decoder;

/// <summary>
/// A checkpoint of random weights that is calculated as it is read: N(0, 0.02²), layers that write into the residual stream divided by
/// sqrt(2 · blocks) (GPT-2's initialisation), norms 1 (Gemma's 0), biases 0. The same seed gives the same weights, in whatever order they are read.
/// </summary>
public sealed class RandomCheckpoint : ITensorSource
{
    private const double Deviation = 0.02;
    private static readonly Lock s_drawing = new();

    private readonly Dictionary<string, (TensorEntry Entry, double Constant, double Deviation)> _tensors = [];
    private readonly ulong _seed;

    /// <param name="config">The decoder.</param>
    /// <param name="seed">Of all weights.</param>
    /// <param name="drawOnDevice">
    /// Let the device that weights are loaded to draw them: other numbers than those that are read, and billions of them in a second.
    /// </param>
    public RandomCheckpoint(DecoderConfig config, ulong seed, bool drawOnDevice = false)
    {
        (_seed, DrawsOnDevice) = (seed, drawOnDevice);
        var layout = DecoderLayout.Of(config);
        var residual = Deviation / Math.Sqrt(2.0 * config.BlockCount);
        Add(layout.Embedding, 0, Deviation, config.VocabularySize, config.EmbeddingSize);
        if (layout.Positions is { } positions)
            Add(positions, 0, Deviation, config.MaxPositions + config.PositionOffset, config.HiddenSize);
        foreach (var block in layout.Blocks)
        {
            foreach (var norm in block.Norms)
                AddNorm(norm);
            foreach (var linear in block.Linears)
                AddLinear(linear, linear.Role is LinearRole.AttentionOutput or LinearRole.Down ? residual : Deviation);
        }
        AddNorm(layout.FinalNorm);
        foreach (var linear in new[] { layout.ProjectIn, layout.ProjectOut, layout.Head })
        {
            if (linear is not null)
                AddLinear(linear, Deviation);
        }
        Entries = [.. _tensors.Values.Select(tensor => tensor.Entry)];
    }

    public IReadOnlyList<TensorEntry> Entries { get; }

    internal bool DrawsOnDevice { get; }

    public bool Contains(string name) => _tensors.ContainsKey(name);

    public TensorEntry Describe(string name) => Find(name).Entry;

    public void ReadFloat(string name, long first, Span<float> destination)
    {
        var (entry, constant, deviation) = Find(name);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(destination.Length, entry.Count - first, nameof(destination));
        if (deviation == 0)
        {
            destination.Fill((float)constant);
            return;
        }
        var stream = Mix(_seed ^ Hash(name));
        for (var i = 0; i < destination.Length; i++)
            destination[i] = (float)(deviation * Normal(stream, (ulong)(first + i)));
    }

    /// <summary>A tensor of the same law, drawn where it will be used; outside every dispose scope.</summary>
    internal Tensor Draw(string name, Device device, ScalarType dtype)
    {
        var (entry, constant, deviation) = Find(name);
        var tensor = torch.empty([.. entry.Shape], dtype, device).DetachFromDisposeScope();
        if (deviation == 0)
            return tensor.fill_(constant);
        // TorchSharp's Generator is one of the CPU, whatever device it is given: a GPU has its default one, which a draw has to itself.
        lock (s_drawing)
        {
            if (device.type == DeviceType.CPU)
            {
                using var generator = new Generator(Mix(_seed ^ Hash(name)));
                return tensor.normal_(0, deviation, generator);
            }
            torch.cuda.manual_seed((long)Mix(_seed ^ Hash(name)));
            return tensor.normal_(0, deviation);
        }
    }

    public unsafe bool TryGetPointer(string name, out byte* pointer)
    {
        pointer = null;
        return false;
    }

    public void Dispose()
    {
    }

    private (TensorEntry Entry, double Constant, double Deviation) Find(string name) =>
        _tensors.TryGetValue(name, out var tensor) ? tensor : throw new InvalidInputException($"the random checkpoint has no tensor {name}");

    private void AddNorm(NormSpec? norm)
    {
        if (norm?.Weight is { } weight)
            Add(weight, norm.Kind == NormKind.RmsPlusOne ? 0 : 1, 0, norm.Size);
        if (norm?.Bias is { } bias)
            Add(bias, 0, 0, norm.Size);
    }

    private void AddLinear(LinearSpec linear, double deviation)
    {
        Add(linear.Weight, 0, deviation, WeightLoader.StoredShape(linear));
        if (linear.Bias is { } bias)
            Add(bias, 0, 0, linear.OutFeatures);
    }

    private void Add(string name, double constant, double deviation, params long[] shape) =>
        _tensors[name] = (new TensorEntry(name, "F32", shape, 4 * shape.Aggregate(1L, (product, size) => product * size)), constant, deviation);

    /// <summary>Box and Muller's transform of two hashes of the element's index.</summary>
    private static double Normal(ulong stream, ulong index)
    {
        var radius = Math.Sqrt(-2 * Math.Log(1 - Unit(Mix(stream + 2 * index))));
        return radius * Math.Cos(2 * Math.PI * Unit(Mix(stream + 2 * index + 1)));
    }

    private static double Unit(ulong bits) => (bits >> 11) * (1.0 / (1UL << 53));

    private static ulong Mix(ulong x) => SplitMix64.Hash(x);

    /// <summary>FNV-1a of the name.</summary>
    private static ulong Hash(string name) =>
        Encoding.UTF8.GetBytes(name).Aggregate(14695981039346656037UL, (hash, value) => (hash ^ value) * 1099511628211UL);
}

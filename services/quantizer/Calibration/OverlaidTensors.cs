using Qbb.Checkpoints;

namespace Qbb.Quantizer.Calibration;

/// <summary>A model with some weights as they will be stored: what calibration runs through is then what the result will see.</summary>
/// <param name="model">The model; not owned.</param>
/// <param name="weights">The weights that differ, by name; owned.</param>
internal sealed class OverlaidTensors(ITensorSource model, IReadOnlyDictionary<string, ITensorSource> weights) : ITensorSource
{
    /// <inheritdoc/>
    public IReadOnlyList<TensorEntry> Entries => model.Entries;

    /// <inheritdoc/>
    public bool Contains(string name) => model.Contains(name);

    /// <inheritdoc/>
    public TensorEntry Describe(string name) => Of(name).Describe(name);

    /// <inheritdoc/>
    public void ReadFloat(string name, long first, Span<float> destination) => Of(name).ReadFloat(name, first, destination);

    /// <inheritdoc/>
    public unsafe bool TryGetPointer(string name, out byte* pointer) => Of(name).TryGetPointer(name, out pointer);

    /// <inheritdoc/>
    public void ReadBytes(string name, long first, Span<byte> destination) => Of(name).ReadBytes(name, first, destination);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var source in weights.Values)
            source.Dispose();
    }

    private ITensorSource Of(string name) => weights.GetValueOrDefault(name) ?? model;
}

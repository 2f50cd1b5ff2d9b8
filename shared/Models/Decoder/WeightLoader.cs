using Qbb.Checkpoints;

namespace Qbb.Models.Decoder;

/// <summary>Brings one tensor of a checkpoint to a device and type.</summary>
public static class WeightLoader
{
    /// <param name="source">The checkpoint.</param>
    /// <param name="name">The stored name.</param>
    /// <param name="shape">What the configuration asks for.</param>
    /// <param name="device">Where the tensor goes.</param>
    /// <param name="dtype">A floating-point type.</param>
    /// <param name="own">
    /// True for memory of its own. False lets the tensor be a view of the mapped file where type and device allow it: it costs no
    /// memory, must not be changed, and is good only as long as the source.
    /// </param>
    /// <returns>A tensor outside every dispose scope.</returns>
    /// <exception cref="InvalidInputException">The tensor is missing or has another shape.</exception>
    public static unsafe Tensor Load(ITensorSource source, string name, long[] shape, Device device, ScalarType dtype, bool own = false)
    {
        var entry = source.Describe(name);
        if (!entry.Shape.SequenceEqual(shape))
            throw new InvalidInputException($"tensor {name} is [{string.Join(", ", entry.Shape)}] where config.json requires [{string.Join(", ", shape)}]");
        if (source is RandomCheckpoint { DrawsOnDevice: true } random)
            return random.Draw(name, device, dtype);
        using var scope = torch.NewDisposeScope();
        Tensor stored;
        if (TypeOf(entry.Type) == dtype && source.TryGetPointer(name, out var pointer))
        {
            stored = torch.from_blob(pointer, shape, dtype, new Kept(source));
            if (own && device.type == DeviceType.CPU)
                stored = stored.clone();
        }
        else
        {
            stored = torch.empty(shape);
            source.ReadFloat(name, 0, stored.AsSpan<float>());
        }
        return stored.to(dtype, device).DetachFromDisposeScope();
    }

    /// <summary>The stored weight of a linear layer as [out, in], row-major, whichever way round the file holds it.</summary>
    /// <param name="source">The checkpoint.</param>
    /// <param name="spec">The layer.</param>
    /// <param name="destination">out × in elements.</param>
    public static void ReadWeight(ITensorSource source, LinearSpec spec, Span<float> destination)
    {
        CheckWeight(source, spec);
        if (!spec.Transposed)
        {
            source.ReadFloat(spec.Weight, 0, destination);
            return;
        }
        var stored = new float[spec.OutFeatures];
        for (var column = 0; column < spec.InFeatures; column++)
        {
            source.ReadFloat(spec.Weight, (long)column * spec.OutFeatures, stored);
            for (var row = 0; row < stored.Length; row++)
                destination[row * spec.InFeatures + column] = stored[row];
        }
    }

    /// <summary>The shape under which a layer's weight is stored.</summary>
    public static long[] StoredShape(LinearSpec spec) =>
        spec.Transposed ? [spec.InFeatures, spec.OutFeatures] : [spec.OutFeatures, spec.InFeatures];

    private static void CheckWeight(ITensorSource source, LinearSpec spec)
    {
        var shape = source.Describe(spec.Weight).Shape;
        if (!shape.SequenceEqual(StoredShape(spec)))
            throw new InvalidInputException($"tensor {spec.Weight} is [{string.Join(", ", shape)}] where config.json requires [{string.Join(", ", StoredShape(spec))}]");
    }

    private static ScalarType? TypeOf(string stored) => stored switch
    {
        "F32" => ScalarType.Float32,
        "F16" => ScalarType.Float16,
        "BF16" => ScalarType.BFloat16,
        _ => null,
    };

    /// <summary>Keeps the source from being collected while a tensor views its memory, without disposing it after.</summary>
    private sealed record Kept(ITensorSource Source);
}

using System.Runtime.InteropServices;
using Qbb.Models;

namespace Qbb.Quantizer.Calibration;

/// <summary>
/// The hidden states of all calibration batches between two blocks: on the device that made them, in memory or, one file a batch, in a
/// folder.
/// </summary>
/// <param name="folder">Made if need be; null for memory.</param>
/// <param name="count">Batches.</param>
/// <param name="onDevice">Whether batches stay where they were made, in their type.</param>
internal sealed class ActivationStore(string? folder, int count, bool onDevice = false) : IDisposable
{
    private readonly Tensor?[] _kept = new Tensor?[count];
    private readonly long[]?[] _shapes = new long[]?[count];

    /// <summary>Keeps a batch in place of the one before.</summary>
    /// <exception cref="InvalidInputException">The folder cannot be written.</exception>
    public void Put(int batch, Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        if (onDevice)
        {
            _kept[batch]?.Dispose();
            _kept[batch] = Gradients.Save(x.contiguous());
            return;
        }
        var plain = x.detach().to(torch.CPU).to(ScalarType.Float32).contiguous();
        if (folder is null)
        {
            _kept[batch]?.Dispose();
            _kept[batch] = Gradients.Save(plain);
            return;
        }
        _shapes[batch] = plain.shape;
        try
        {
            Directory.CreateDirectory(folder);
            using var file = File.Create(PathOf(batch));
            file.Write(MemoryMarshal.AsBytes(plain.AsSpan<float>()));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{folder}: activations cannot be written: {error.Message}", error);
        }
    }

    /// <summary>A batch as it was put; belongs to the caller's dispose scope.</summary>
    public Tensor Get(int batch, Device device, ScalarType dtype)
    {
        using var scope = torch.NewDisposeScope();
        if (onDevice || folder is null)
            return _kept[batch]!.to(device).to(dtype).view(_kept[batch]!.shape).MoveToOuterDisposeScope();
        var x = torch.empty(_shapes[batch]!);
        using (var file = File.OpenRead(PathOf(batch)))
            file.ReadExactly(MemoryMarshal.AsBytes(x.AsSpan<float>()));
        return x.to(device).to(dtype).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        for (var batch = 0; batch < count; batch++)
        {
            _kept[batch]?.Dispose();
            if (_shapes[batch] is not null)
                File.Delete(PathOf(batch));
        }
    }

    private string PathOf(int batch) => Path.Combine(folder!, $"activations-{batch:d5}.f32");
}

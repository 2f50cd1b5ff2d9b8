using System.Runtime.InteropServices;
using Microsoft.Extensions.Options;
using Qbb.Cuda;

namespace Qbb.Workers.Models;

/// <summary>
/// What units leave loaded for those that follow: models, trainings, activations. Whoever loads something makes room first, and what was not used
/// for longest goes. For one unit at a time (<see cref="Units.ComputeGate"/>).
/// </summary>
public sealed partial class WarmMemory(IOptions<WorkerOptions> options) : IDisposable
{
    // The last one used is the last of the list.
    private readonly List<(object Key, IDisposable Thing, long Bytes)> _kept = [];
    private long? _most;

    /// <summary>Things that were found again.</summary>
    public int Found { get; private set; }

    /// <summary>Bytes that things may take together.</summary>
    private long Most => _most ??= options.Value.WarmMegabytes is { } megabytes ? (long)megabytes << 20
        : options.Value.ReadDevice() is { type: DeviceType.CUDA } device ? CudaDevice.Get(device).Memory.Free / 2 : 0;

    /// <summary>What is kept under a key, which the caller now owns; null if there is none.</summary>
    /// <param name="key">All that the thing depends on, with value equality.</param>
    public T? Take<T>(object key)
        where T : class, IDisposable
    {
        var place = _kept.FindIndex(kept => kept.Key.Equals(key));
        if (place < 0)
            return null;
        var thing = (T)_kept[place].Thing;
        _kept.RemoveAt(place);
        Found++;
        return thing;
    }

    /// <summary>Keeps a thing, in place of any under the same key; it belongs to this object until it is taken.</summary>
    /// <param name="key">As in <see cref="Take"/>.</param>
    /// <param name="thing">The thing.</param>
    /// <param name="bytes">About what it takes.</param>
    public void Keep(object key, IDisposable thing, long bytes)
    {
        foreach (var same in _kept.FindAll(kept => kept.Key.Equals(key)))
            Drop(same);
        _kept.Add((key, thing, bytes));
    }

    /// <summary>Drops what was not used for longest until so much more has room.</summary>
    /// <param name="bytes">Of what is about to be loaded.</param>
    /// <param name="used">How many of those used last stay in any case: the unit at hand needs them too.</param>
    public void MakeRoom(long bytes, int used = 0)
    {
        var before = _kept.Count;
        while (_kept.Count > used && _kept.Sum(kept => kept.Bytes) + bytes > Most)
            Drop(_kept[0]);
        if (_kept.Count < before)
            GiveBack();
    }

    public void Dispose() => _kept.ToList().ForEach(Drop);

    // glibc has heaps for each thread and keeps what a model was in, half a gigabyte for SmolLM2, beside the heaps where the next one comes to lie.
    private static void GiveBack()
    {
        try
        {
            _ = Trim(0);
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException)
        {
            // Another C library.
        }
    }

    [LibraryImport("libc.so.6", EntryPoint = "malloc_trim")]
    private static partial int Trim(nuint kept);

    private void Drop((object, IDisposable Thing, long) kept)
    {
        _kept.Remove(kept);
        kept.Thing.Dispose();
    }
}

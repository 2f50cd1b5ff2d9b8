using System.Globalization;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Qbb.Checkpoints;
using Qbb.Models;

namespace Qbb.Quantizer.Calibration;

/// <summary>
/// The hidden states of all calibration batches behind a block, in the type that they were made in: on the device that made them, in memory or, one
/// file a batch, in a folder.
/// </summary>
/// <param name="folder">Made if need be; null for memory.</param>
/// <param name="count">Batches.</param>
/// <param name="onDevice">Whether batches stay where they were made.</param>
public sealed class Activations(string? folder, int count, bool onDevice = false) : IDisposable
{
    /// <summary>Bytes after which the next batch begins a file of its own.</summary>
    private const long ShardBytes = 64 << 20;

    /// <summary>Shards that are copied and written at once.</summary>
    private const int WritersAtOnce = 4;

    private static readonly Dictionary<ScalarType, string> s_types = new()
    {
        [ScalarType.Float32] = "F32",
        [ScalarType.BFloat16] = "BF16",
        [ScalarType.Float16] = "F16",
    };

    private readonly Tensor?[] _kept = new Tensor?[count];
    private readonly (long[] Shape, ScalarType Type)?[] _stored = new (long[], ScalarType)?[count];

    /// <summary>Blocks that the states have gone through.</summary>
    internal int Blocks { get; set; }

    /// <summary>What they take.</summary>
    public long Bytes { get; private set; }

    /// <summary>Keeps a batch in place of the one before.</summary>
    /// <exception cref="InvalidInputException">The folder cannot be written.</exception>
    internal void Put(int batch, Tensor x)
    {
        using var scope = torch.NewDisposeScope();
        var plain = (onDevice ? x.detach() : x.detach().to(torch.CPU)).contiguous();
        if (_kept[batch] is null && _stored[batch] is null)
            Bytes += plain.numel() * plain.ElementSize;
        if (onDevice || folder is null)
        {
            _kept[batch]?.Dispose();
            _kept[batch] = Gradients.Save(plain);
            return;
        }
        _stored[batch] = (plain.shape, plain.dtype);
        try
        {
            Directory.CreateDirectory(folder);
            using var file = File.Create(PathOf(batch));
            file.Write(BytesOf(plain));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{folder}: activations cannot be written: {error.Message}", error);
        }
    }

    /// <summary>A batch as it was put; belongs to the caller's dispose scope.</summary>
    internal Tensor Get(int batch, Device device, ScalarType dtype)
    {
        using var scope = torch.NewDisposeScope();
        if (_stored[batch] is not { } stored)
            return _kept[batch]!.to(device).to(dtype).view(_kept[batch]!.shape).MoveToOuterDisposeScope();
        var x = torch.empty(stored.Shape, stored.Type);
        using (var file = File.OpenRead(PathOf(batch)))
            file.ReadExactly(BytesOf(x));
        return x.to(device).to(dtype).MoveToOuterDisposeScope();
    }

    /// <summary>Writes all batches into a folder, some sequences a file, for another process to go on from.</summary>
    /// <param name="target">Is there.</param>
    /// <param name="cancellation">Stops between files.</param>
    /// <exception cref="InvalidInputException">The folder cannot be written.</exception>
    public void Save(string target, CancellationToken cancellation = default)
    {
        var shards = new List<Range>();
        for (var (first, end, bytes) = (0, 0, 0L); end < count;)
        {
            bytes += BytesOf(end++);
            if (bytes < ShardBytes && end < count)
                continue;
            shards.Add(first..end);
            (first, bytes) = (end, 0);
        }
        var options = new ParallelOptions { MaxDegreeOfParallelism = Math.Min(WritersAtOnce, Environment.ProcessorCount), CancellationToken = cancellation };
        try
        {
            Parallel.ForEach(shards, options, shard => Save(target, shard));
        }
        catch (AggregateException errors)
        {
            ExceptionDispatchInfo.Throw(errors.InnerException!);
        }
    }

    /// <summary>Reads what <see cref="Save"/> wrote in place of what there is.</summary>
    /// <param name="source">The folder.</param>
    /// <param name="device">Where batches go that stay on the device.</param>
    /// <exception cref="InvalidInputException">A file is damaged, or there are other batches.</exception>
    internal void Load(string source, Device device)
    {
        var read = 0;
        foreach (var path in Directory.EnumerateFiles(source, "activations-*.safetensors").Order(StringComparer.Ordinal))
        {
            using var file = SafetensorsFile.Open(path);
            Blocks = int.Parse(file.Metadata["blocks"], CultureInfo.InvariantCulture);
            foreach (var entry in file.Entries)
            {
                using var scope = torch.NewDisposeScope();
                var x = torch.empty([.. entry.Shape], s_types.Single(type => type.Value == entry.Type).Key);
                file.ReadBytes(entry.Name, 0, BytesOf(x));
                Put(int.Parse(entry.Name, CultureInfo.InvariantCulture), onDevice ? x.to(device) : x);
                read++;
            }
        }
        if (read != count)
            throw new InvalidInputException($"{source}: holds activations of {read} batches, not of {count}");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        for (var batch = 0; batch < count; batch++)
        {
            _kept[batch]?.Dispose();
            if (_stored[batch] is not null)
                File.Delete(PathOf(batch));
        }
    }

    private void Save(string target, Range shard)
    {
        using var scope = torch.NewDisposeScope();
        var batches = Enumerable.Range(0, count).Take(shard).ToDictionary(NameOf, batch => Get(batch, torch.CPU, TypeOf(batch)));
        using var writer = SafetensorsWriter.Create(
            Path.Combine(target, $"activations-{shard.Start.Value:d5}.safetensors"),
            batches.Select(batch => new TensorDeclaration(batch.Key, s_types[batch.Value.dtype], batch.Value.shape)),
            new Dictionary<string, string> { ["blocks"] = $"{Blocks}" });
        foreach (var (name, x) in batches)
            writer.WriteBytes(name, BytesOf(x));
        writer.Commit();
    }

    private long BytesOf(int batch) => _stored[batch] is { } stored
        ? stored.Shape.Aggregate((long)stored.Type.ElementSize(), (long product, long size) => product * size)
        : _kept[batch]!.numel() * _kept[batch]!.ElementSize;

    private ScalarType TypeOf(int batch) => _stored[batch]?.Type ?? _kept[batch]!.dtype;

    private static string NameOf(int batch) => batch.ToString("d5", CultureInfo.InvariantCulture);

    private static Span<byte> BytesOf(Tensor x) =>
        x.ElementSize == sizeof(float) ? MemoryMarshal.AsBytes(x.AsSpan<float>()) : MemoryMarshal.AsBytes(x.AsSpan<short>());

    private string PathOf(int batch) => Path.Combine(folder!, $"activations-{batch:d5}.bin");
}

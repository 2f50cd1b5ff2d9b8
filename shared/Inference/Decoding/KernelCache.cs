using System.IO.MemoryMappedFiles;
using System.Security.Cryptography;
using System.Text;
using Qbb.Bases.Cpu;
using Qbb.Checkpoints;

namespace Qbb.Inference.Decoding;

/// <summary>
/// Memory for the weights in the kernels' order: a hidden file in the model's folder, made by the first process that decodes, mapped by all and
/// safe to delete. Where the folder cannot be written, the process's own memory.
/// </summary>
internal sealed unsafe class KernelCache : IDisposable
{
    /// <summary>Goes up when the order changes.</summary>
    private const int Version = 1;

    private const int Line = 64;

    private static readonly TimeSpan s_unused = TimeSpan.FromDays(1);

    private readonly AlignedBuffer? _own;
    private readonly MemoryMappedFile? _mapping;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly string? _path;
    private readonly string? _partial;
    private byte* _next;

    private KernelCache(AlignedBuffer own)
    {
        _own = own;
        _next = own.Pointer;
    }

    private KernelCache(FileStream file, MemoryMappedFileAccess access, string? path = null)
    {
        _mapping = MemoryMappedFile.CreateFromFile(file, null, 0, access, HandleInheritability.None, leaveOpen: false);
        (IsFilled, _path, _partial) = (path is null, path, path is null ? null : file.Name);
        _view = _mapping.CreateViewAccessor(0, 0, access);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _next);
    }

    /// <summary>The regions hold what an earlier process packed.</summary>
    public bool IsFilled { get; }

    /// <summary>Bytes that a region takes.</summary>
    public static long Rounded(long bytes) => (bytes + Line - 1) / Line * Line;

    /// <summary>The store of a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="order">What is packed of it and how, for the name of the file.</param>
    /// <param name="bytes">Of all regions, each rounded.</param>
    public static KernelCache Open(ModelSource model, string order, long bytes)
    {
        // A model of plain weights has nothing to pack, and an empty file cannot be mapped.
        if (bytes == 0)
            return InMemory(0);
        var folder = Directory.Exists(model.Path) ? model.Path : Path.GetDirectoryName(Path.GetFullPath(model.Path))!;
        var path = Path.Combine(folder, WrittenFiles.KernelCachePrefix + Key(model, order, bytes));
        string? partial = null;
        try
        {
            if (File.Exists(path) && new FileInfo(path).Length == bytes)
            {
                return new(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0), MemoryMappedFileAccess.Read);
            }
            partial = $"{path}.{Environment.ProcessId}.partial";
            // Places are taken now: a disk that is full later would end the process at a write to memory.
            var made = new FileStream(partial, new FileStreamOptions
            {
                Mode = FileMode.Create,
                Access = FileAccess.ReadWrite,
                Share = FileShare.ReadWrite | FileShare.Delete,
                BufferSize = 0,
                PreallocationSize = bytes,
            });
            made.SetLength(bytes);
            return new(made, MemoryMappedFileAccess.ReadWrite, path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // A disk without room has the name already.
            if (partial is not null && File.Exists(partial))
                File.Delete(partial);
            return InMemory(bytes);
        }
    }

    /// <summary>A store that ends with the process.</summary>
    public static KernelCache InMemory(long bytes) => new(new AlignedBuffer(bytes));

    /// <summary>The next region; regions are taken in the same order every time.</summary>
    public byte* Take(long bytes)
    {
        var region = _next;
        _next += Rounded(bytes);
        return region;
    }

    /// <summary>Everything is packed: other processes may use it. What was packed of an older model goes, and what a killed process left.</summary>
    public void Complete()
    {
        if (_path is null)
            return;
        try
        {
            File.Move(_partial!, _path, overwrite: true);
            var made = File.GetLastWriteTimeUtc(_path);
            foreach (var old in new DirectoryInfo(Path.GetDirectoryName(_path)!).EnumerateFiles(WrittenFiles.KernelCachePrefix + "*"))
            {
                if (made - old.LastWriteTimeUtc > s_unused)
                    old.Delete();
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The next process packs again.
        }
    }

    public void Dispose()
    {
        _own?.Dispose();
        _view?.SafeMemoryMappedViewHandle.ReleasePointer();
        _view?.Dispose();
        _mapping?.Dispose();
        if (_partial is not null)
            File.Delete(_partial);
    }

    private static string Key(ModelSource model, string order, long bytes)
    {
        var text = new StringBuilder($"{Version} {order} {bytes}");
        foreach (var name in model.Files)
        {
            var file = File.ResolveLinkTarget(name, returnFinalTarget: true) as FileInfo ?? new FileInfo(name);
            text.Append($" {Path.GetFileName(name)} {file.Length} {file.LastWriteTimeUtc.Ticks}");
        }
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())))[..16];
    }
}

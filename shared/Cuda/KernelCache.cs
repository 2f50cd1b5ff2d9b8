using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Qbb.Cuda;

/// <summary>
/// Compiled kernels on disk, so that a program compiles each source once on a machine and not at every start. A folder that cannot be
/// written costs time, not the run.
/// </summary>
public sealed class KernelCache(string folder)
{
    /// <summary>$XDG_CACHE_HOME/qbb/kernels, else ~/.cache/qbb/kernels.</summary>
    public static KernelCache Default { get; } = new(DefaultFolder(
        Environment.GetEnvironmentVariable("XDG_CACHE_HOME"), Environment.GetFolderPath(Environment.SpecialFolder.UserProfile)));

    public string Folder { get; } = folder;

    internal static string DefaultFolder(string? cacheHome, string home)
    {
        // The specification of base directories ignores a relative path.
        var root = cacheHome is { Length: > 0 } && Path.IsPathRooted(cacheHome) ? cacheHome : Path.Combine(home.Length > 0 ? home : Path.GetTempPath(), ".cache");
        return Path.Combine(root, "qbb", "kernels");
    }

    /// <summary>SHA-256, in hexadecimal, of all that the machine code depends on. Fields carry their lengths: no two lists read the same.</summary>
    public static string Key(KernelSource source, string architecture, string compilerVersion)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Append("qbb-kernel-1");
        Append(compilerVersion);
        Append(source.Code);
        foreach (var option in source.CompilerOptions(architecture))
            Append(option);
        return Convert.ToHexStringLower(hash.GetHashAndReset());

        void Append(string text)
        {
            var bytes = Encoding.UTF8.GetBytes(text);
            Span<byte> length = stackalloc byte[4];
            BinaryPrimitives.WriteInt32LittleEndian(length, bytes.Length);
            hash.AppendData(length);
            hash.AppendData(bytes);
        }
    }

    /// <summary>The image of a key, or null if there is none or its bytes are not those that were written.</summary>
    public byte[]? Find(string key)
    {
        try
        {
            var bytes = File.ReadAllBytes(FileOf(key));
            if (bytes.Length <= SHA256.HashSizeInBytes)
                return null;
            var image = bytes[SHA256.HashSizeInBytes..];
            return SHA256.HashData(image).AsSpan().SequenceEqual(bytes.AsSpan(0, SHA256.HashSizeInBytes)) ? image : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Keeps an image: the file appears whole or not at all, also where several processes write it. False where the folder cannot be written.</summary>
    public bool Store(string key, byte[] image)
    {
        try
        {
            Directory.CreateDirectory(Folder);
            var draft = Path.Combine(Folder, $".{key}.{Guid.NewGuid():n}");
            try
            {
                File.WriteAllBytes(draft, [.. SHA256.HashData(image), .. image]);
                File.Move(draft, FileOf(key), overwrite: true);
            }
            finally
            {
                File.Delete(draft);
            }
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private string FileOf(string key) => Path.Combine(Folder, key + ".cubin");
}

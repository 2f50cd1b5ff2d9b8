using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Qbb.Checkpoints;

/// <summary>
/// The identity of a model for recipes and results: SHA-256 over its configuration and weight files. It does not depend on where they lie,
/// on a GGUF file's name or on times; other files of the folder (tokenizer, card) do not count.
/// </summary>
public static class ModelDigest
{
    private const int BufferBytes = 1 << 20;

    /// <returns>64 lower-case hexadecimal digits.</returns>
    /// <exception cref="InvalidInputException">A file cannot be read any more.</exception>
    public static string Compute(ModelSource model, CancellationToken cancellation = default)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData("qbb model 1\n"u8);
        foreach (var file in model.Files)
        {
            var role = model.Format == ModelSource.Gguf ? "gguf" : Path.GetFileName(file);
            hash.AppendData(Encoding.UTF8.GetBytes(role + "\n"));
            Append(hash, file, cancellation);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Append(IncrementalHash hash, string path, CancellationToken cancellation)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            using var stream = new FileStream(
                path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan);
            // The length goes first, so that bytes cannot move from one file to the next unseen.
            Span<byte> length = stackalloc byte[sizeof(long)];
            BinaryPrimitives.WriteInt64LittleEndian(length, stream.Length);
            hash.AppendData(length);
            for (int count; (count = stream.Read(buffer)) > 0;)
            {
                cancellation.ThrowIfCancellationRequested();
                hash.AppendData(buffer, 0, count);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{path}: cannot be read: {e.Message}", e);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}

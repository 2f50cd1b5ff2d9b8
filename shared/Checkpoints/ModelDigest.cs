using System.Security.Cryptography;
using System.Text;

namespace Qbb.Checkpoints;

/// <summary>
/// The identity of a model for recipes and results: SHA-256 over the names and hashes of its configuration and weight files. It does not
/// depend on the folder, on a GGUF file's name or on times; other files of the folder (tokenizer, card) do not count.
/// </summary>
public static class ModelDigest
{
    /// <returns>64 lower-case hexadecimal digits.</returns>
    /// <exception cref="InvalidInputException">A file cannot be read any more.</exception>
    public static string Compute(ModelSource model, CancellationToken cancellation = default) => Of(model, FileHashes.Sha256(model.Files, cancellation));

    /// <summary>The same where the SHA-256 of every one of the model's <see cref="ModelSource.Files"/> is known, as from a manifest: reads nothing.</summary>
    public static string Of(ModelSource model, IEnumerable<byte[]> hashes)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData("qbb model 2\n"u8);
        foreach (var (file, content) in model.Files.Zip(hashes))
        {
            var role = model.Format == ModelSource.Gguf ? "gguf" : Path.GetFileName(file);
            hash.AppendData(Encoding.UTF8.GetBytes(role + "\n"));
            hash.AppendData(content);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}

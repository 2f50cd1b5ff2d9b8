using Qbb.Contracts;

namespace Qbb.Artifacts.Oci;

/// <summary>Moves models to and from an OCI registry; what was interrupted continues with the same call.</summary>
public static class OciTransfer
{
    /// <summary>Sends a model: what is there already is passed over, and the manifest comes last, so that its tag never names what is not whole.</summary>
    /// <param name="client">The repository.</param>
    /// <param name="tag">What is to name the model.</param>
    /// <param name="model">What the artifact says of it.</param>
    /// <param name="files">Its files.</param>
    /// <param name="open">Opens one of them from its beginning.</param>
    /// <param name="report">Told of (bytes done, the file at hand).</param>
    /// <param name="cancellation">Stops in the middle of a file.</param>
    /// <returns>The manifest's digest, and how many blobs were sent.</returns>
    public static async Task<(Digest Manifest, int Sent)> PushAsync(
        OciClient client, string tag, PackedModel model, IReadOnlyCollection<PackedFile> files, Func<PackedFile, Task<Stream>> open, Action<long, string> report,
        CancellationToken cancellation)
    {
        var pack = ModelPack.Of(model, files);
        var (done, sent) = (0L, 0);
        foreach (var file in files)
        {
            report(done, file.Name);
            sent += await client.PutBlobAsync(file.Digest, file.Size, () => open(file), cancellation) ? 1 : 0;
            report(done += file.Size, file.Name);
        }
        await client.PutBlobAsync(
            Digest.Of(pack.ConfigJson.Span), pack.ConfigJson.Length, () => Task.FromResult<Stream>(new MemoryStream(pack.ConfigJson.ToArray(), writable: false)), cancellation);
        await client.PutManifestAsync(tag, pack.ManifestJson, cancellation);
        return (Digest.Of(pack.ManifestJson.Span), sent);
    }

    /// <summary>What a reference names now.</summary>
    /// <exception cref="InvalidInputException">It is not a model, or the registry refuses it.</exception>
    public static async Task<(Digest Manifest, IReadOnlyList<PackedFile> Files)> ResolveAsync(OciClient client, OciReference reference, CancellationToken cancellation)
    {
        var (manifest, digest) = await client.GetManifestAsync(reference.Tag, cancellation);
        return (digest, ModelPack.FilesOf(manifest, $"{reference}"));
    }

    /// <summary>Brings a model's files to a folder; files and beginnings of files that are there are not requested again.</summary>
    /// <param name="client">The repository.</param>
    /// <param name="files">Of <see cref="ResolveAsync"/>.</param>
    /// <param name="folder">Of these files alone.</param>
    /// <param name="report">Told of (bytes done, bytes in all, the file at hand).</param>
    /// <param name="cancellation">Stops in the middle of a file, which stays.</param>
    public static async Task PullAsync(OciClient client, IReadOnlyList<PackedFile> files, string folder, Action<double, double, string> report, CancellationToken cancellation)
    {
        var (before, total) = (0L, files.Sum(file => file.Size));
        foreach (var file in files)
        {
            var path = Path.Combine(folder, file.Name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            await client.GetBlobAsync(file.Digest, file.Size, path, count => report(before + count, total, file.Name), cancellation);
            before += file.Size;
        }
    }
}

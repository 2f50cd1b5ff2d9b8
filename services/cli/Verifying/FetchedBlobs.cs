using System.Net;
using Qbb.Artifacts;

namespace Qbb.Cli.Verifying;

/// <summary>
/// A registry's blobs, fetched into a folder when they are first needed and checked against their digests; what is calculated stays in the folder.
/// </summary>
/// <param name="registry">Retries nothing: a blob that its store knows to be damaged breaks every connection.</param>
/// <param name="local">The folder.</param>
internal sealed class FetchedBlobs(IRegistryApi registry, LocalArtifactStore local) : IArtifactStore, ILocalBlobs
{
    private const int Tries = 3;

    public Task<BlobInfo> PutAsync(Stream content, Digest? expected = null, CancellationToken cancellation = default) => local.PutAsync(content, expected, cancellation);

    public async Task<Stream> OpenReadAsync(Digest digest, long offset = 0, long? length = null, CancellationToken cancellation = default)
    {
        await FetchAsync(digest, cancellation);
        return await local.OpenReadAsync(digest, offset, length, cancellation);
    }

    public async Task<BlobInfo?> FindAsync(Digest digest, CancellationToken cancellation = default)
    {
        try
        {
            await FetchAsync(digest, cancellation);
        }
        catch (BlobNotFoundException)
        {
            return null;
        }
        return await local.FindAsync(digest, cancellation);
    }

    public async Task<bool> KeepAsync(Digest digest, CancellationToken cancellation = default) => await FindAsync(digest, cancellation) is not null;

    public async Task LinkAsync(Digest digest, string path, CancellationToken cancellation = default)
    {
        await FetchAsync(digest, cancellation);
        await local.LinkAsync(digest, path, cancellation);
    }

    public Task<bool> DeleteAsync(Digest digest, CancellationToken cancellation = default) => local.DeleteAsync(digest, cancellation);

    public Task<IReadOnlyCollection<Digest>> RemoveAsync(IReadOnlyCollection<Digest> digests, DateTimeOffset unused, CancellationToken cancellation = default) =>
        local.RemoveAsync(digests, unused, cancellation);

    public IAsyncEnumerable<BlobInfo> ListAsync(CancellationToken cancellation = default) => local.ListAsync(cancellation);

    public Task RemoveAbandonedAsync(DateTimeOffset before, CancellationToken cancellation = default) => local.RemoveAbandonedAsync(before, cancellation);

    /// <exception cref="BlobNotFoundException">The registry does not have it.</exception>
    /// <exception cref="ArtifactStoreException">It is damaged.</exception>
    private async Task FetchAsync(Digest digest, CancellationToken cancellation)
    {
        if (await local.FindAsync(digest, cancellation) is not null)
            return;
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await using var content = await registry.GetBlobAsync(digest, cancellation);
                await local.PutAsync(content, digest, cancellation);
                return;
            }
            catch (RegistryRefusedException refused)
            {
                throw refused.Status == HttpStatusCode.NotFound ? new BlobNotFoundException(digest)
                    : new ArtifactStoreException($"{digest} cannot be read from the registry: {refused.Message}", refused);
            }
            // A store that finds damage itself ends the response before its last bytes, every time.
            catch (Exception error) when (error is RegistryAwayException or HttpRequestException or IOException)
            {
                if (attempt == Tries)
                    throw new ArtifactStoreException($"{digest} does not arrive whole: it is damaged in the registry's store, or the connection breaks", error);
            }
        }
    }
}

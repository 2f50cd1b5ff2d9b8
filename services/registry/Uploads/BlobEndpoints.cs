using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Uploads;

/// <summary>Bytes on their way to become files of a version, and all others by their digest.</summary>
internal static class BlobEndpoints
{
    public static void MapBlobs(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/blobs").WithTags("blobs");
        group.MapMethods("/{digest}", [HttpMethods.Head], Find).WithSummary("Checks whether a blob exists.");
        group.MapGet("/{digest}", Read).WithSummary("A blob, or a range of it.").Produces(200).Produces(206).ProducesProblem(400).ProducesProblem(404).Produces(416);
        group.MapPost("/{digest}/keep", Keep).WithSummary("Keeps a stored blob for an upload; 404 if it must be uploaded.").ProducesProblem(400).ProducesProblem(404);
        group.MapPut("/{digest}", Put).WithSummary("Uploads a blob; its digest must be that of the address.")
            .Accepts<Stream>("application/octet-stream").ProducesProblem(400).ProducesProblem(507);
    }

    private static async Task<Results<Ok, NotFound>> Find(
        string digest, HttpResponse response, IArtifactStore store, CancellationToken cancellation)
    {
        if (await store.FindAsync(Parse(digest), cancellation) is not { } found)
            return TypedResults.NotFound();
        response.ContentLength = found.Size;
        return TypedResults.Ok();
    }

    private static async Task<BlobResult> Read(string digest, IArtifactStore store, CancellationToken cancellation) =>
        await store.FindAsync(Parse(digest), cancellation) is { } found
            ? new BlobResult(found.Digest, found.Size, digest)
            : throw RefusedException.NotFound($"{digest} is not in the store");

    private static async Task<NoContent> Keep(string digest, IArtifactStore store, BlobLeases leases, CancellationToken cancellation) =>
        await TryKeepAsync(Parse(digest), store, leases, cancellation)
            ? TypedResults.NoContent()
            : throw RefusedException.NotFound($"{digest} is not in the store: upload it with PUT /api/blobs/{digest}");

    private static async Task<Results<Created, NoContent>> Put(
        string digest, HttpRequest request, IArtifactStore store, BlobLeases leases, CancellationToken cancellation)
    {
        var blob = Parse(digest);
        if (await TryKeepAsync(blob, store, leases, cancellation))
            return TypedResults.NoContent();
        if (request.HttpContext.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = null;
        await store.PutAsync(request.Body, blob, cancellation);
        // Only now, so that an upload which fails leaves no row; till then the blob is spared because it is new, unless older bytes of the same digest
        // were being removed at this moment.
        await leases.KeepAsync([blob], cancellation);
        return await store.FindAsync(blob, cancellation) is not null
            ? TypedResults.Created()
            : throw new StoreAwayException($"{blob} was removed by a collection while it was uploaded: upload it again");
    }

    /// <summary>Keeps what is there for an upload; false where it is not.</summary>
    private static async Task<bool> TryKeepAsync(Digest blob, IArtifactStore store, BlobLeases leases, CancellationToken cancellation)
    {
        if (!await store.KeepAsync(blob, cancellation))
            return false;
        await leases.KeepAsync([blob], cancellation);
        // The collector may have come in between; from now on it does not.
        return await store.FindAsync(blob, cancellation) is not null;
    }

    private static Digest Parse(string digest) => Digest.TryParse(digest, out var parsed)
        ? parsed
        : throw RefusedException.Invalid("a digest is the SHA-256 of the bytes as 64 lower-case hexadecimal digits");
}

/// <summary>Keeps uploaded blobs until their version is made, or the upload is given up.</summary>
internal sealed class BlobLeases(RegistryContext context, IOptions<RegistryOptions> options, TimeProvider clock)
{
    public async Task KeepAsync(IReadOnlyCollection<Digest> digests, CancellationToken cancellation)
    {
        var until = clock.GetUtcNow() + TimeSpan.FromHours(options.Value.UploadHours);
        // In one order everywhere, so that two who want the same wait for one another.
        string[] names = [.. digests.Select(digest => digest.Value).Distinct().Order(StringComparer.Ordinal)];
        await context.ChangeAsync(async () =>
        {
            await context.LockUploadsAsync(isRemoving: false, cancellation);
            var known = await context.Leases.AsNoTracking().Where(lease => names.Contains(lease.Digest)).Select(lease => lease.Digest).ToListAsync(cancellation);
            context.Leases.AddRange(names.Except(known).Select(name => new BlobLease { Digest = name, ExpiresAt = until }));
            return await context.Leases.Where(lease => names.Contains(lease.Digest)).ExecuteUpdateAsync(lease => lease.SetProperty(row => row.ExpiresAt, until), cancellation);
        }, ["leases"], cancellation);
        context.ChangeTracker.Clear();
    }
}

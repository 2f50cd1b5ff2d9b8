using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Blobs;

/// <summary>Keeps uploaded blobs until their version is made, or the upload is given up.</summary>
internal sealed class BlobLeases(RegistryContext context, IOptions<RegistryOptions> options, TimeProvider clock)
{
    public async Task KeepAsync(Digest digest, CancellationToken cancellation)
    {
        var until = clock.GetUtcNow() + TimeSpan.FromHours(options.Value.UploadHours);
        if (await RenewAsync(digest, until, cancellation))
            return;
        var lease = context.Leases.Add(new BlobLease { Digest = digest.Value, ExpiresAt = until });
        try
        {
            await context.SaveChangesAsync(cancellation);
        }
        catch (DbUpdateException error) when (context.IsDuplicate(error))
        {
            lease.State = EntityState.Detached;
            await RenewAsync(digest, until, cancellation);
        }
    }

    private async Task<bool> RenewAsync(Digest digest, DateTimeOffset until, CancellationToken cancellation) =>
        await context.Leases.Where(lease => lease.Digest == digest.Value)
            .ExecuteUpdateAsync(lease => lease.SetProperty(row => row.ExpiresAt, until), cancellation) > 0;
}

using Microsoft.EntityFrameworkCore;
using Qbb.Hosting.Startup;

namespace Qbb.Registry.Data;

/// <summary>The registry's database; what differs between the providers is in the classes derived from it.</summary>
internal abstract class RegistryContext : DbContext
{
    /// <summary>Times that a change is tried against others at the same moment.</summary>
    public const int Tries = 5;

    // Before each save Entity Framework sets a savepoint, and where its release fails it only logs that, opens a new connection without the transaction, and
    // what is saved next is committed alone. Nothing here continues in a transaction after an error, so nothing needs savepoints.
    protected RegistryContext(DbContextOptions options)
        : base(options) => Database.AutoSavepointsEnabled = false;

    public DbSet<Model> Models => Set<Model>();

    public DbSet<ModelVersion> Versions => Set<ModelVersion>();

    public DbSet<VersionFile> Files => Set<VersionFile>();

    public DbSet<Alias> Aliases => Set<Alias>();

    public DbSet<VersionLineage> Lineages => Set<VersionLineage>();

    public DbSet<VersionProvenance> Provenances => Set<VersionProvenance>();

    public DbSet<Pipeline> Pipelines => Set<Pipeline>();

    public DbSet<PipelineUnit> Units => Set<PipelineUnit>();

    public DbSet<Policy> Policies => Set<Policy>();

    public DbSet<OutboxMessage> Outbox => Set<OutboxMessage>();

    public DbSet<InboxMessage> Inbox => Set<InboxMessage>();

    public DbSet<MlflowChange> MlflowChanges => Set<MlflowChange>();

    public DbSet<MlflowLink> MlflowLinks => Set<MlflowLink>();

    public DbSet<MlflowImport> MlflowImports => Set<MlflowImport>();

    public DbSet<HubImport> HubImports => Set<HubImport>();

    public DbSet<Webhook> Webhooks => Set<Webhook>();

    public DbSet<WebhookDelivery> WebhookDeliveries => Set<WebhookDelivery>();

    public DbSet<OciPush> OciPushes => Set<OciPush>();

    public DbSet<BlobLease> Leases => Set<BlobLease>();

    public DbSet<IdempotentRequest> IdempotentRequests => Set<IdempotentRequest>();

    /// <summary>Brings the database up to date, and creates it if need be.</summary>
    /// <param name="wait">How long another process may hold the migrations' lock.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="StartupException">Another process has held the lock for longer.</exception>
    public abstract Task MigrateAsync(TimeSpan wait, CancellationToken cancellation);

    /// <summary>Locks a pipeline until the transaction ends; null if there is no such pipeline.</summary>
    public abstract Task<Pipeline?> LockPipelineAsync(Guid id, CancellationToken cancellation);

    /// <summary>Locks a model until the transaction ends; null if there is no such model.</summary>
    public abstract Task<Model?> LockModelAsync(Guid id, CancellationToken cancellation);

    /// <summary>Locks out uploads while blobs are removed, or the removal while uploads get leases, until the transaction ends.</summary>
    public abstract Task LockUploadsAsync(bool isRemoving, CancellationToken cancellation);

    /// <summary>Saves what is tracked, then new units and messages in their order, of which there may be many at a time.</summary>
    public virtual Task SaveAsync(IReadOnlyCollection<PipelineUnit> units, IReadOnlyCollection<OutboxMessage> messages, CancellationToken cancellation)
    {
        Units.AddRange(units);
        Outbox.AddRange(messages);
        return SaveChangesAsync(cancellation);
    }

    /// <summary>Notes messages in the inbox; those that were not there already.</summary>
    public abstract Task<HashSet<Guid>> ReceiveAsync(IReadOnlyCollection<Guid> messages, DateTimeOffset now, CancellationToken cancellation);

    /// <summary>Lets this process do what one process at a time does, until the result is disposed; null where another one is at it.</summary>
    public abstract Task<IAsyncDisposable?> TryLockAsync(long what, CancellationToken cancellation);

    /// <summary>
    /// Runs a change in a transaction and saves it. Where somebody else changed or added the same rows at the same moment, it runs again and
    /// sees theirs.
    /// </summary>
    /// <param name="change">What to do; its exceptions undo it.</param>
    /// <param name="tables">Where somebody else may add a row of the same key.</param>
    /// <param name="cancellation">Undoes it.</param>
    public async Task<T> ChangeAsync<T>(Func<Task<T>> change, IReadOnlyCollection<string> tables, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            await using var transaction = await Database.BeginTransactionAsync(cancellation);
            try
            {
                var result = await change();
                await SaveChangesAsync(cancellation);
                await transaction.CommitAsync(cancellation);
                return result;
            }
            catch (DbUpdateException error) when (attempt < Tries && IsConflict(error, tables))
            {
                ChangeTracker.Clear();
            }
        }
    }

    /// <summary>Whether a save failed because somebody else was quicker, so that a second look finds what they did.</summary>
    public static bool IsConflict(DbUpdateException error, IReadOnlyCollection<string> tables) =>
        error is DbUpdateConcurrencyException || (tables.Count > 0 && Transience.IsDuplicate(error, tables));

    protected override void OnModelCreating(ModelBuilder modelBuilder) =>
        modelBuilder.ApplyConfigurationsFromAssembly(typeof(RegistryContext).Assembly);
}

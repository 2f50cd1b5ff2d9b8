using Microsoft.EntityFrameworkCore;

namespace Qbb.Registry.Data;

/// <summary>The registry's database; what differs between the providers is in the classes derived from it.</summary>
internal abstract class RegistryContext(DbContextOptions options) : DbContext(options)
{
    public DbSet<Model> Models => Set<Model>();

    public DbSet<ModelVersion> Versions => Set<ModelVersion>();

    public DbSet<VersionFile> Files => Set<VersionFile>();

    public DbSet<Alias> Aliases => Set<Alias>();

    public DbSet<VersionLineage> Lineages => Set<VersionLineage>();

    public DbSet<Pipeline> Pipelines => Set<Pipeline>();

    public DbSet<PipelineUnit> Units => Set<PipelineUnit>();

    public DbSet<Policy> Policies => Set<Policy>();

    public DbSet<OutboxMessage> Outbox => Set<OutboxMessage>();

    public DbSet<InboxMessage> Inbox => Set<InboxMessage>();

    public DbSet<BlobLease> Leases => Set<BlobLease>();

    public DbSet<IdempotentRequest> IdempotentRequests => Set<IdempotentRequest>();

    /// <summary>A pipeline that no other transaction can change until this one ends; null where there is none.</summary>
    public abstract Task<Pipeline?> LockPipelineAsync(Guid id, CancellationToken cancellation);

    /// <summary>A model that no other transaction can change until this one ends; null where there is none.</summary>
    public abstract Task<Model?> LockModelAsync(Guid id, CancellationToken cancellation);

    /// <summary>Notes messages in the inbox; those that were not there already.</summary>
    public abstract Task<HashSet<Guid>> ReceiveAsync(IReadOnlyCollection<Guid> messages, DateTimeOffset now, CancellationToken cancellation);

    /// <summary>The first messages of the outbox, those that another dispatcher has in hand left out.</summary>
    public abstract Task<List<OutboxMessage>> TakeOutboxAsync(int count, CancellationToken cancellation);

    /// <summary>Whether a save failed because a row with that key is there already.</summary>
    public abstract bool IsDuplicate(DbUpdateException error);

    protected override void OnModelCreating(ModelBuilder modelBuilder) =>
        modelBuilder.ApplyConfigurationsFromAssembly(typeof(RegistryContext).Assembly);
}

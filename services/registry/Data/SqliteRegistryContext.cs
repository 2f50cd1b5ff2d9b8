using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace Qbb.Registry.Data;

/// <summary>On SQLite a transaction holds the whole file (BEGIN IMMEDIATE), so there are no rows to lock.</summary>
internal sealed class SqliteRegistryContext(DbContextOptions<SqliteRegistryContext> options) : RegistryContext(options)
{
    // Entity Framework marks a migration with a row, which a process that is killed leaves behind and everybody after it would wait for, without
    // end. The file belongs to this process alone, so such a row is a dead one's.
    public override async Task MigrateAsync(TimeSpan wait, CancellationToken cancellation)
    {
        await Database.OpenConnectionAsync(cancellation);
        // Without LINQ, whose first query takes a tenth of a second of every start.
        await using var command = Database.GetDbConnection().CreateCommand();
        command.CommandText = "SELECT COUNT(*) FROM sqlite_master WHERE name = '__EFMigrationsLock'";
        if (await command.ExecuteScalarAsync(cancellation) is > 0L)
            await Database.ExecuteSqlAsync($"""DELETE FROM "__EFMigrationsLock" """, cancellation);
        await Database.MigrateAsync(cancellation);
    }

    public override Task<Pipeline?> LockPipelineAsync(Guid id, CancellationToken cancellation) =>
        Pipelines.FirstOrDefaultAsync(pipeline => pipeline.Id == id, cancellation);

    public override Task<Model?> LockModelAsync(Guid id, CancellationToken cancellation) =>
        Models.FirstOrDefaultAsync(model => model.Id == id, cancellation);

    public override Task LockUploadsAsync(bool isRemoving, CancellationToken cancellation) => Task.CompletedTask;

    public override async Task<HashSet<Guid>> ReceiveAsync(IReadOnlyCollection<Guid> messages, DateTimeOffset now, CancellationToken cancellation)
    {
        var seen = await Inbox.Where(row => messages.Contains(row.MessageId)).Select(row => row.MessageId).ToListAsync(cancellation);
        HashSet<Guid> fresh = [.. messages.Except(seen)];
        Inbox.AddRange(fresh.Select(id => new InboxMessage { MessageId = id, ReceivedAt = now }));
        return fresh;
    }

    // The file belongs to this process alone.
    public override Task<IAsyncDisposable?> TryLockAsync(long what, CancellationToken cancellation) => Task.FromResult<IAsyncDisposable?>(new NoLock());

    private sealed class NoLock : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    // SQLite has no type for times and compares their text wrongly.
    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder) =>
        configurationBuilder.Properties<DateTimeOffset>().HaveConversion<MicrosecondsConverter>();

    internal sealed class MicrosecondsConverter() : ValueConverter<DateTimeOffset, long>(
        time => time.UtcTicks / TimeSpan.TicksPerMicrosecond,
        value => new DateTimeOffset(value * TimeSpan.TicksPerMicrosecond, TimeSpan.Zero));
}

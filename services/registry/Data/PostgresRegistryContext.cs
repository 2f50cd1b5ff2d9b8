using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Storage;
using Npgsql;
using Qbb.Hosting.Startup;

namespace Qbb.Registry.Data;

/// <summary>On PostgreSQL rows are locked one by one.</summary>
internal sealed class PostgresRegistryContext(DbContextOptions<PostgresRegistryContext> options) : RegistryContext(options)
{
    // A number of our own among the database's advisory locks: "qbb upl".
    private const long UploadLock = 0x71_62_62_20_75_70_6c;

    public override async Task MigrateAsync(TimeSpan wait, CancellationToken cancellation)
    {
        // A migration may take as long as it needs; a lock may not.
        Database.SetCommandTimeout(TimeSpan.FromHours(1));
        var creator = Database.GetService<IRelationalDatabaseCreator>();
        if (!await creator.ExistsAsync(cancellation))
            await creator.CreateAsync(cancellation);
        await Database.OpenConnectionAsync(cancellation);
        await Database.ExecuteSqlRawAsync(FormattableString.Invariant($"SET lock_timeout = {Math.Max(1, wait.TotalMilliseconds):0}"), cancellation);
        try
        {
            await Database.MigrateAsync(cancellation);
        }
        catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.LockNotAvailable)
        {
            throw new StartupException(
                $"another process has been migrating the database for {wait.TotalSeconds:0} s ({StartupOptions.Section}:{nameof(StartupOptions.WaitSeconds)}): "
                + "let it finish, or end the session that holds the lock (pg_stat_activity lists them)", error);
        }
    }

    public override Task<Pipeline?> LockPipelineAsync(Guid id, CancellationToken cancellation) =>
        Pipelines.FromSql($"""SELECT * FROM pipelines WHERE "Id" = {id} FOR UPDATE""").FirstOrDefaultAsync(cancellation);

    public override Task<Model?> LockModelAsync(Guid id, CancellationToken cancellation) =>
        Models.FromSql($"""SELECT * FROM models WHERE "Id" = {id} FOR UPDATE""").FirstOrDefaultAsync(cancellation);

    public override Task LockUploadsAsync(bool isRemoving, CancellationToken cancellation) => isRemoving
        ? Database.ExecuteSqlAsync($"SELECT pg_advisory_xact_lock({UploadLock})", cancellation)
        : Database.ExecuteSqlAsync($"SELECT pg_advisory_xact_lock_shared({UploadLock})", cancellation);

    // One statement a table: tracking each row and planning a statement of its own for it took half of what a unit costs, here and at the server.
    public override async Task SaveAsync(IReadOnlyCollection<PipelineUnit> units, IReadOnlyCollection<OutboxMessage> messages, CancellationToken cancellation)
    {
        await SaveChangesAsync(cancellation);
        if (units.Count > 0)
        {
            await Database.ExecuteSqlAsync(
                $"""
                INSERT INTO units ("PipelineId", "Kind", "Index", "Key", "Command", "Status", "Attempt", "Failures")
                SELECT * FROM unnest({Array(units, unit => unit.PipelineId)}, {Array(units, unit => unit.Kind.Name)}, {Array(units, unit => unit.Index)},
                    {Array(units, unit => unit.Key)}, {Array(units, unit => unit.Command)}, {Array(units, unit => $"{unit.Status}")}, {Array(units, unit => unit.Attempt)},
                    {Array(units, unit => unit.Failures)})
                """, cancellation);
        }
        if (messages.Count > 0)
        {
            await Database.ExecuteSqlAsync(
                $"""
                INSERT INTO outbox ("MessageId", "PipelineId", "Queue", "Type", "Body", "TraceParent")
                SELECT id, pipeline, queue, type, body, trace FROM unnest({Array(messages, message => message.MessageId)}, {Array(messages, message => message.PipelineId)},
                    {Array(messages, message => message.Queue)}, {Array(messages, message => message.Type)}, {Array(messages, message => message.Body)},
                    {Array(messages, message => message.TraceParent)}) WITH ORDINALITY new (id, pipeline, queue, type, body, trace, place) ORDER BY place
                """, cancellation);
        }

        static TColumn[] Array<TRow, TColumn>(IReadOnlyCollection<TRow> rows, Func<TRow, TColumn> column) => [.. rows.Select(column)];
    }

    // In one order everywhere, so that two who receive the same messages wait for one another instead of both.
    public override async Task<HashSet<Guid>> ReceiveAsync(IReadOnlyCollection<Guid> messages, DateTimeOffset now, CancellationToken cancellation)
    {
        Guid[] ids = [.. messages.Distinct().Order()];
        var fresh = Database.SqlQuery<Guid>(
            $"""INSERT INTO inbox ("MessageId", "ReceivedAt") SELECT id, {now} FROM unnest({ids}) id ON CONFLICT DO NOTHING RETURNING "MessageId" AS "Value" """);
        return [.. await fresh.ToListAsync(cancellation)];
    }

    // A session's lock: it ends with the connection too, where the process is killed. A connection that goes back to the pool keeps it.
    public override async Task<IAsyncDisposable?> TryLockAsync(long what, CancellationToken cancellation)
    {
        await Database.OpenConnectionAsync(cancellation);
        if (await Database.SqlQuery<bool>($"""SELECT pg_try_advisory_lock({what}) AS "Value" """).SingleAsync(cancellation))
            return new SessionLock(this, what);
        await Database.CloseConnectionAsync();
        return null;
    }

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        base.OnModelCreating(modelBuilder);
        // A unit is changed once, when it is done. With room for that on its page its entries in the indexes stay as they are.
        modelBuilder.Entity<PipelineUnit>().HasStorageParameter("fillfactor", 50);
    }

    private sealed class SessionLock(PostgresRegistryContext context, long what) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            try
            {
                await context.Database.ExecuteSqlAsync($"SELECT pg_advisory_unlock({what})");
            }
            catch (Exception error) when (error is DbException or InvalidOperationException)
            {
                // A connection that is lost has no lock.
            }
            await context.Database.CloseConnectionAsync();
        }
    }
}

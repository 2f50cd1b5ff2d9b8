using Microsoft.EntityFrameworkCore;

namespace Qbb.Registry.Data;

/// <summary>On PostgreSQL rows are locked one by one.</summary>
internal sealed class PostgresRegistryContext(DbContextOptions<PostgresRegistryContext> options) : RegistryContext(options)
{
    public override Task<Pipeline?> LockPipelineAsync(Guid id, CancellationToken cancellation) =>
        Pipelines.FromSql($"""SELECT * FROM pipelines WHERE "Id" = {id} FOR UPDATE""").FirstOrDefaultAsync(cancellation);

    public override Task<Model?> LockModelAsync(Guid id, CancellationToken cancellation) =>
        Models.FromSql($"""SELECT * FROM models WHERE "Id" = {id} FOR UPDATE""").FirstOrDefaultAsync(cancellation);

    // In one order everywhere, so that two who receive the same messages wait for one another instead of both.
    public override async Task<HashSet<Guid>> ReceiveAsync(IReadOnlyCollection<Guid> messages, DateTimeOffset now, CancellationToken cancellation)
    {
        Guid[] ids = [.. messages.Distinct().Order()];
        var fresh = Database.SqlQuery<Guid>(
            $"""INSERT INTO inbox ("MessageId", "ReceivedAt") SELECT id, {now} FROM unnest({ids}) id ON CONFLICT DO NOTHING RETURNING "MessageId" AS "Value" """);
        return [.. await fresh.ToListAsync(cancellation)];
    }

    public override Task<List<OutboxMessage>> TakeOutboxAsync(int count, CancellationToken cancellation) =>
        Outbox.FromSql($"""SELECT * FROM outbox ORDER BY "Id" LIMIT {count} FOR UPDATE SKIP LOCKED""").AsNoTracking().ToListAsync(cancellation);
}

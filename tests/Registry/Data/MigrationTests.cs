using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;

namespace Qbb.Registry.Tests.Data;

public sealed class MigrationTests
{
    [Fact]
    public void Migrations_of_both_providers_are_up_to_date()
    {
        using var sqlite = new SqliteRegistryContext(new DbContextOptionsBuilder<SqliteRegistryContext>().UseSqlite("Data Source=:memory:").Options);
        sqlite.Database.HasPendingModelChanges().ShouldBeFalse("services/registry/Data/Migrations/README.md says how to add one");
        using var postgres = new PostgresRegistryContext(new DbContextOptionsBuilder<PostgresRegistryContext>().UseNpgsql("Host=localhost").Options);
        postgres.Database.HasPendingModelChanges().ShouldBeFalse("services/registry/Data/Migrations/README.md says how to add one");
    }

    [Fact]
    public async Task Times_compare_and_come_back_as_they_were()
    {
        await using var context = new SqliteRegistryContext(new DbContextOptionsBuilder<SqliteRegistryContext>().UseSqlite("Data Source=:memory:").Options);
        await context.Database.OpenConnectionAsync();
        await context.Database.MigrateAsync();
        var time = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.FromHours(2));
        context.Models.Add(new Model { Id = Guid.NewGuid(), Name = "a", CreatedAt = time });
        await context.SaveChangesAsync();
        context.ChangeTracker.Clear();
        (await context.Models.SingleAsync(model => model.CreatedAt < time.AddTicks(20))).CreatedAt.ShouldBe(time);
        (await context.Models.AnyAsync(model => model.CreatedAt < time.AddTicks(-20))).ShouldBeFalse();
    }
}

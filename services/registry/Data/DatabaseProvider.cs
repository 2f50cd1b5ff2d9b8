namespace Qbb.Registry.Data;

public enum DatabaseProvider
{
    /// <summary>A file: for one process.</summary>
    Sqlite,

    /// <summary>A PostgreSQL server.</summary>
    Postgres,
}

using System.ComponentModel.DataAnnotations;

namespace Qbb.Registry.Data;

public enum DatabaseProvider
{
    /// <summary>A file: for one process.</summary>
    Sqlite,

    /// <summary>A PostgreSQL server.</summary>
    Postgres,
}

/// <summary>Section <c>Database</c> of the configuration.</summary>
public sealed class DatabaseOptions : IValidatableObject
{
    public const string Section = "Database";

    public DatabaseProvider Provider { get; set; } = DatabaseProvider.Sqlite;

    /// <summary>"Data Source=FILE" of SQLite, "Host=…;Database=…;Username=…" of PostgreSQL.</summary>
    public string ConnectionString { get; set; } = "";

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (!Enum.IsDefined(Provider))
            yield return new("Database:Provider must be sqlite or postgres");
        if (string.IsNullOrWhiteSpace(ConnectionString))
        {
            yield return new(Provider == DatabaseProvider.Sqlite
                ? "Database:ConnectionString is not set; give Data Source=FILE"
                : "Database:ConnectionString is not set; give Host=…;Database=…;Username=…");
        }
    }
}

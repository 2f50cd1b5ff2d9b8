using System.ComponentModel.DataAnnotations;
using Npgsql;
using Qbb.Hosting.Options;

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

    /// <summary>A file whose first line is the password of PostgreSQL's user, instead of one in <see cref="ConnectionString"/>.</summary>
    public string? PasswordFile { get; set; }

    /// <summary>The connection string with the password, wherever it stands.</summary>
    public string ReadConnectionString() => PasswordFile is null
        ? ConnectionString
        : new NpgsqlConnectionStringBuilder(ConnectionString) { Password = OptionsExtensions.ReadSecret(PasswordFile) }.ConnectionString;

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (!Enum.IsDefined(Provider))
            yield return new("Database:Provider must be sqlite or postgres");
        if (PasswordFile is not null && Provider == DatabaseProvider.Sqlite)
            yield return new("Database:PasswordFile is set, but SQLite has no passwords; remove it, or choose Database:Provider postgres");
        else if (PasswordFile is not null && !File.Exists(PasswordFile))
            yield return new($"Database:PasswordFile is {PasswordFile}, where there is no file");
        if (string.IsNullOrWhiteSpace(ConnectionString))
        {
            yield return new(Provider == DatabaseProvider.Sqlite
                ? "Database:ConnectionString is not set; give Data Source=FILE"
                : "Database:ConnectionString is not set; give Host=…;Database=…;Username=…");
        }
    }
}

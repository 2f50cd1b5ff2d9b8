using System.ComponentModel.DataAnnotations;

namespace Qbb.Hosting.Startup;

/// <summary>Section <c>Startup</c> of the configuration.</summary>
public sealed class StartupOptions
{
    public const string Section = "Startup";

    /// <summary>Seconds to wait for broker, database and bucket before giving up.</summary>
    [Range(0, 3600)]
    public int WaitSeconds { get; set; } = 60;
}

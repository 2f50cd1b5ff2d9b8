using System.ComponentModel.DataAnnotations;

namespace Qbb.Hosting.Telemetry;

/// <summary>Section <c>Telemetry</c> of the configuration.</summary>
public sealed class TelemetryOptions : IValidatableObject
{
    public const string Section = "Telemetry";

    /// <summary>Where traces, metrics and logs are sent (OTLP over gRPC), such as http://collector:4317; null for nowhere.</summary>
    public string? Endpoint { get; set; }

    /// <summary>The port of /metrics, for Prometheus, at the hosts where the service listens; null for none.</summary>
    [Range(1, 65535)]
    public int? MetricsPort { get; set; }

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Endpoint is not null && !(Uri.TryCreate(Endpoint, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"))
            yield return new($"Telemetry:Endpoint is {Endpoint}; give an address such as http://collector:4317");
    }
}

using MassTransit.Logging;
using MassTransit.Monitoring;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using Qbb.Hosting.Options;

namespace Qbb.Hosting.Telemetry;

/// <summary>Traces that follow a pipeline over the bus from service to service, and metrics; sent where there is a collector.</summary>
public static class TelemetryExtensions
{
    /// <summary>The name under which the product's own traces and metrics go.</summary>
    public const string Source = "Qbb";

    public static IHostApplicationBuilder AddTelemetry(this IHostApplicationBuilder builder, string service)
    {
        builder.Services.AddValidatedOptions<TelemetryOptions>(TelemetryOptions.Section);
        var endpoint = builder.Configuration.GetSection(TelemetryOptions.Section).Read<TelemetryOptions>().Endpoint;
        if (endpoint is null)
            return builder;
        var target = new Uri(endpoint);
        builder.Services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService($"qbb-{service}", serviceVersion: typeof(TelemetryExtensions).Assembly.GetName().Version?.ToString()))
            .WithTracing(traces => traces.AddSource(Source, DiagnosticHeaders.DefaultListenerName, "Microsoft.AspNetCore")
                .AddOtlpExporter(exporter => exporter.Endpoint = target))
            .WithMetrics(metrics => metrics.AddMeter(Source, InstrumentationOptions.MeterName, "Microsoft.AspNetCore.Hosting", "System.Runtime")
                .AddOtlpExporter(exporter => exporter.Endpoint = target));
        return builder;
    }
}

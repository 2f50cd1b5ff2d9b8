using System.Diagnostics;
using MassTransit.Logging;
using MassTransit.Monitoring;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OpenTelemetry.Logs;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using Qbb.Hosting.Options;

namespace Qbb.Hosting.Telemetry;

/// <summary>Traces that follow a pipeline over the bus from service to service, metrics and logs; sent where there is a collector.</summary>
public static class TelemetryExtensions
{
    /// <summary>The name under which the product's own traces and metrics go.</summary>
    public const string Source = "Qbb";

    /// <summary>A tag of spans: the pipeline that they belong to.</summary>
    public const string PipelineTag = "qbb.pipeline";

    /// <summary>The product's own spans; those of requests and messages are the frameworks'.</summary>
    public static ActivitySource Spans { get; } = new(Source);

    public static IHostApplicationBuilder AddTelemetry(this IHostApplicationBuilder builder, string service)
    {
        builder.Services.AddValidatedOptions<TelemetryOptions>(TelemetryOptions.Section);
        var options = Read(builder.Configuration);
        if (options is { Endpoint: null, MetricsPort: null })
            return builder;
        var telemetry = builder.Services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService($"qbb-{service}", serviceVersion: typeof(TelemetryExtensions).Assembly.GetName().Version?.ToString()))
            .WithMetrics(metrics => metrics.AddMeter(Source, InstrumentationOptions.MeterName, "Microsoft.AspNetCore.Hosting", "System.Runtime"));
        if (options.Endpoint is { } endpoint)
        {
            // So that spans of requests have route, status and method by OpenTelemetry's names.
            AppContext.SetSwitch("Microsoft.AspNetCore.Hosting.SuppressActivityOpenTelemetryData", false);
            telemetry.WithTracing(traces => traces.AddSource(Source, DiagnosticHeaders.DefaultListenerName, "Microsoft.AspNetCore")
                .AddOtlpExporter(exporter => exporter.Endpoint = new Uri(endpoint)));
            telemetry.WithMetrics(metrics => metrics.AddOtlpExporter(exporter => exporter.Endpoint = new Uri(endpoint)));
            telemetry.WithLogging(logs => logs.AddOtlpExporter(exporter => exporter.Endpoint = new Uri(endpoint)), options => options.IncludeFormattedMessage = true);
        }
        if (options.MetricsPort is { } port)
        {
            builder.Configuration["Urls"] = string.Join(';', ListenersWith(builder.Configuration["Urls"]!, port));
            telemetry.WithMetrics(metrics => metrics.AddPrometheusExporter());
        }
        return builder;
    }

    /// <summary>Answers /metrics at its own port, and nothing else there: what is open to people need not be open to Prometheus, nor the reverse.</summary>
    public static void UseMetricsPort(this WebApplication app)
    {
        if (Read(app.Configuration).MetricsPort is not { } port)
            return;
        app.MapWhen(http => http.Connection.LocalPort == port, metrics =>
        {
            metrics.UseOpenTelemetryPrometheusScrapingEndpoint();
            metrics.Run(http =>
            {
                http.Response.StatusCode = StatusCodes.Status404NotFound;
                return Task.CompletedTask;
            });
        });
    }

    /// <summary>Lets a service answer /metrics among its own routes (<see cref="MapMetrics"/>), where it has no port for it.</summary>
    public static IHostApplicationBuilder AddMetricsRoute(this IHostApplicationBuilder builder)
    {
        if (Read(builder.Configuration).MetricsPort is null)
            builder.Services.AddOpenTelemetry().WithMetrics(metrics => metrics.AddMeter(Source, "Microsoft.AspNetCore.Hosting", "System.Runtime").AddPrometheusExporter());
        return builder;
    }

    /// <summary>/metrics, guarded as the service's other routes are.</summary>
    public static void MapMetrics(this WebApplication app)
    {
        if (Read(app.Configuration).MetricsPort is null)
            app.MapPrometheusScrapingEndpoint();
    }

    private static TelemetryOptions Read(IConfiguration configuration) => configuration.GetSection(TelemetryOptions.Section).Read<TelemetryOptions>();

    private static IEnumerable<string> ListenersWith(string urls, int port)
    {
        var listeners = urls.Split(';', StringSplitOptions.RemoveEmptyEntries);
        return [.. listeners, .. listeners.Select(url => $"http://{BindingAddress.Parse(url).Host}:{port}").Distinct()];
    }
}

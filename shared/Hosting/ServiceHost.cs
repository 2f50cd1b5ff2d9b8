using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Hosting.Artifacts;
using Qbb.Hosting.Bus;
using Qbb.Hosting.Options;
using Qbb.Hosting.Startup;
using Qbb.Hosting.Telemetry;

namespace Qbb.Hosting;

/// <summary>What every service does alike: configuration, telemetry, store, bus, health, waiting for what it needs, and a clean end.</summary>
public static class ServiceHost
{
    /// <summary>The tag of checks whose failure only a new process ends.</summary>
    public const string Live = "live";

    private static readonly string[] s_own = ["localhost", "127.0.0.1", "[::1]"];

    /// <summary>Runs a service until it is told to stop.</summary>
    /// <param name="args">Settings as --Section:Name=value, above those of appsettings.json and of the environment.</param>
    /// <param name="name">The service.</param>
    /// <param name="url">Where it listens unless the setting Urls says otherwise.</param>
    /// <param name="add">Adds the service.</param>
    /// <param name="map">Maps its endpoints, if it has any.</param>
    /// <param name="hasBus">Whether it has a bus and a store.</param>
    /// <returns>The exit code: that of <see cref="ServiceExit"/>, or 1 where it could not start; the reason is on stderr.</returns>
    public static Task<int> RunAsync(
        string[] args, string name, string url, Action<WebApplicationBuilder> add, Action<WebApplication>? map = null, bool hasBus = true) =>
        ExplainedAsync(async () =>
        {
            await using var app = Build(args, name, url, add, map, hasBus);
            await StartAsync(app);
            await app.WaitForShutdownAsync();
            return app.Services.GetRequiredService<ServiceExit>().Code;
        });

    /// <summary>Waits for what the added parts need, starts them, stops them and ends: a job without bus, store and endpoints.</summary>
    /// <param name="args">Settings as --Section:Name=value.</param>
    /// <param name="add">Adds the parts; their hosted services do the work as they start.</param>
    /// <returns>The exit code: 0, or 1 where it could not be done; the reason is on stderr.</returns>
    public static Task<int> RunOnceAsync(string[] args, Action<IHostApplicationBuilder> add) => ExplainedAsync(async () =>
    {
        var builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { Args = args, ContentRootPath = AppContext.BaseDirectory });
        AddGate(builder.Services);
        add(builder);
        using var host = builder.Build();
        host.Services.GetService<IStartupValidator>()?.Validate();
        await host.Services.GetRequiredService<DependencyGate>().WaitAsync();
        await host.StartAsync();
        await host.StopAsync();
        return 0;
    });

    /// <summary>Puts a service together.</summary>
    public static WebApplication Build(
        string[] args, string name, string url, Action<WebApplicationBuilder> add, Action<WebApplication>? map = null, bool hasBus = true)
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
        if (string.IsNullOrEmpty(builder.Configuration["Urls"]))
            builder.Configuration["Urls"] = url;
        OwnNamesOnly(builder.Configuration);
        AddGate(builder.Services);
        builder.Services.AddHealthChecks();
        builder.Services.AddHostedService<FirstCheck>();
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.AddSingleton<ServiceExit>();
        builder.AddTelemetry(name);
        if (hasBus)
            builder.AddArtifacts();
        add(builder);
        if (hasBus)
            builder.AddBus();
        var app = builder.Build();
        foreach (var preparation in app.Services.GetServices<IPreparation>())
            _ = Task.Run(preparation.Prepare);
        app.UseMetricsPort();
        // Alive is who answers, unless a check says that only a new process helps; ready is who has its bus and whatever else the service checks. Before the
        // routes, which the first request that reaches them compiles, all together.
        app.UseHealthChecks("/health/live", new HealthCheckOptions { Predicate = check => check.Tags.Contains(Live), ResponseWriter = WriteAsync });
        app.UseHealthChecks("/health/ready", new HealthCheckOptions { ResponseWriter = WriteAsync });
        app.UseRouting();
        map?.Invoke(app);
        return app;
    }

    /// <summary>Validates the settings, waits for broker, database and bucket, then starts.</summary>
    /// <exception cref="StartupException">What it needs is away.</exception>
    /// <exception cref="OptionsValidationException">A setting cannot be used.</exception>
    public static async Task StartAsync(WebApplication app, CancellationToken cancellation = default)
    {
        app.Services.GetService<IStartupValidator>()?.Validate();
        using var stopped = CancellationTokenSource.CreateLinkedTokenSource(cancellation, app.Lifetime.ApplicationStopping);
        // What it needs is looked for while its parts are made, the bus above all.
        var dependencies = Task.Run(() => app.Services.GetRequiredService<DependencyGate>().WaitAsync(stopped.Token), stopped.Token);
        _ = app.Services.GetServices<IHostedService>().Count();
        await dependencies;
        await app.StartAsync(stopped.Token);
        _ = Task.Run(() => app.Services.GetRequiredService<EndpointDataSource>().Endpoints.Count, CancellationToken.None);
    }

    private static void AddGate(IServiceCollection services)
    {
        services.AddValidatedOptions<StartupOptions>(StartupOptions.Section);
        services.AddSingleton<DependencyGate>();
    }

    private static async Task<int> ExplainedAsync(Func<Task<int>> run)
    {
        try
        {
            return await run();
        }
        catch (Exception error) when (Explain(error) is { } message)
        {
            await Console.Error.WriteLineAsync("error: " + message);
            return 1;
        }
    }

    /// <summary>The status, and a line for each check that fails with its reason.</summary>
    private static Task WriteAsync(HttpContext http, HealthReport report)
    {
        http.Response.ContentType = "text/plain";
        var failing = report.Entries.Where(entry => entry.Value.Status != HealthStatus.Healthy).Select(entry => $"{entry.Key}: {entry.Value.Description}");
        return http.Response.WriteAsync(string.Join('\n', [$"{report.Status}", .. failing]));
    }

    /// <summary>
    /// Who listens on this machine alone is asked for by this machine's names alone: else a page of another site could reach it from a browser here,
    /// through a name of its own that points here. The setting AllowedHosts names others, such as that of a proxy in front.
    /// </summary>
    private static void OwnNamesOnly(ConfigurationManager configuration)
    {
        if (string.IsNullOrEmpty(configuration["AllowedHosts"]) && ListensHereOnly(configuration["Urls"]!))
            configuration["AllowedHosts"] = string.Join(';', s_own);
    }

    /// <summary>Whether addresses, with semicolons between them, are this machine's own alone.</summary>
    /// <exception cref="FormatException">One of them is not an address.</exception>
    public static bool ListensHereOnly(string urls) =>
        urls.Split(';', StringSplitOptions.RemoveEmptyEntries).Select(url => BindingAddress.Parse(url).Host).All(s_own.Contains);

    /// <summary>What to tell people of an error that kept a service from starting; null for one that is ours.</summary>
    public static string? Explain(Exception error) => error switch
    {
        OptionsValidationException invalid => string.Join("; ", invalid.Failures),
        AggregateException several when several.InnerExceptions.All(inner => Explain(inner) is not null) =>
            string.Join("; ", several.InnerExceptions.Select(Explain)),
        StartupException or ArtifactStoreException => error.Message,
        IOException { InnerException: Microsoft.AspNetCore.Connections.AddressInUseException } => error.Message,
        OperationCanceledException => "stopped before it had started",
        _ => null,
    };
}

/// <summary>For services that begin when the host has started.</summary>
public static class HostStart
{
    /// <summary>Waits until a token is cancelled, such as the one that says that the host has started.</summary>
    public static async Task WhenCancelledAsync(this CancellationToken happened, CancellationToken cancellation)
    {
        var source = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = happened.Register(source.SetResult);
        await source.Task.WaitAsync(cancellation);
    }
}

/// <summary>
/// Checks the health once while the service listens but has not started: whoever asks then gets an answer before the work begins that waits for the start,
/// such as the registry's clocks, which keep the processor busy for half a second at first.
/// </summary>
internal sealed class FirstCheck(HealthCheckService checks) : IHostedLifecycleService
{
    public Task StartedAsync(CancellationToken cancellationToken) => checks.CheckHealthAsync(cancellationToken);

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}

/// <summary>The exit code of a service that ends by itself.</summary>
public sealed class ServiceExit
{
    /// <summary>An endpoint cannot connect to the broker again: a new process can.</summary>
    public const int ConnectionLost = 30;

    public int Code { get; set; }
}

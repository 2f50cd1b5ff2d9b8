using Microsoft.AspNetCore.HostFiltering;
using Qbb.Contracts;
using Qbb.Hosting.Bus;
using Qbb.Hosting.Options;
using Qbb.Registry.Aliases;
using Qbb.Registry.Collecting;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Hub;
using Qbb.Registry.Lineage;
using Qbb.Registry.Messaging;
using Qbb.Registry.Metrics;
using Qbb.Registry.Mlflow;
using Qbb.Registry.Mlflow.Routes;
using Qbb.Registry.Models;
using Qbb.Registry.Oci;
using Qbb.Registry.Pages;
using Qbb.Registry.Pipelines;
using Qbb.Registry.Policies;
using Qbb.Registry.Search;
using Qbb.Registry.Uploads;
using Qbb.Registry.Versions;
using Qbb.Registry.Webhooks;

namespace Qbb.Registry;

/// <summary>The registry as a part of a host: of its own, or of the one that holds all services.</summary>
public static class RegistryExtensions
{
    /// <summary>Where it hears what workers say.</summary>
    internal const string Queue = "registry";

    public static WebApplicationBuilder AddRegistry(this WebApplicationBuilder builder)
    {
        var services = builder.Services;
        services.AddValidatedOptions<RegistryOptions>(RegistryOptions.Section);
        services.AddValidatedOptions<PipelineOptions>(PipelineOptions.Section);
        services.AddSingleton(TimeProvider.System);
        builder.AddDatabase();
        services.AddHttp();
        services.AddScoped<ModelFinder>().AddScoped<VersionViews>().AddScoped<VersionFiler>().AddScoped<Champions>();
        services.AddScoped<Uploader>().AddScoped<BlobLeases>().AddScoped<References>().AddScoped<CollectionTurns>().AddScoped<Collector>();
        services.AddSingleton<OutboxSignal>().AddSingleton<OutboxSender>().AddSingleton<PublishSignal>().AddSingleton<QueueMeter>();
        services.AddSingleton<PipelineBoard>().AddSingleton<PipelineMeter>();
        services.AddScoped<PipelinePlanner>().AddScoped<PipelineRunner>().AddScoped<PipelineInbox>().AddScoped<IRefusedMessages, RefusedMessages>().AddSingleton<ICommandTurns, CommandTurns>().AddScoped<PipelineStarter>().AddScoped<PipelinePublisher>();
        services.AddScoped<PipelineViews>().AddSingleton<PipelineDesk>().AddSingleton<VersionDocuments>();
        // In their order: the database is up to date before anything looks at it.
        services.AddHostedService<DefaultPolicySeed>();
        services.AddHostedService<OutboxDispatcher>();
        services.AddHostedService<PipelineClock>();
        services.AddHostedService<PublishClock>();
        services.AddHostedService(provider => provider.GetRequiredService<QueueMeter>());
        services.AddHostedService<CollectionClock>();
        builder.AddMlflow();
        HubWatcher.Add(builder);
        builder.AddWebhooks();
        ChampionPusher.Add(builder);
        services.AddMlflowRoutes();
        builder.AddQueues([Queue, .. WorkQueues.All]);
        builder.AddConsumers(Queue, PipelineConsumers.Add);
        return builder;
    }

    /// <summary>What brings the database up to date, alone: a deployment does so before it starts any registry of a new version.</summary>
    public static void AddMigration(this IHostApplicationBuilder builder)
    {
        builder.Services.AddSingleton(TimeProvider.System);
        builder.AddDatabase();
    }

    public static WebApplication MapRegistry(this WebApplication app)
    {
        app.UseSecurityHeaders();
        app.UseExceptionHandler();
        app.UseStatusCodePages();
        app.UseMiddleware<CrossOriginGuard>();
        app.UseOutputCache();
        app.UseMiddleware<IdempotencyMiddleware>();
        app.MapOpenApi();
        app.MapBlobs();
        app.MapModels();
        app.MapUploads();
        app.MapVersions();
        app.MapAliases();
        app.MapTags();
        app.MapMetrics();
        app.MapLineage();
        app.MapGates();
        app.MapSearch();
        app.MapPolicies();
        app.MapPipelines();
        app.MapCollection();
        app.MapWebhooks();
        app.MapMlflow();
        app.MapMlflowRoutes();
        app.MapSite();
        return app;
    }

    private static void AddHttp(this IServiceCollection services)
    {
        // The outermost of all.
        services.Insert(0, ServiceDescriptor.Transient<IStartupFilter, HostRefusals>());
        services.Configure<HostFilteringOptions>(hosts => hosts.IncludeFailureMessage = false);
        services.AddHttpContextAccessor();
        services.AddScoped<ETags>();
        services.AddPages();
        // So that what the framework refuses has a detail as well.
        services.AddProblemDetails(problems => problems.CustomizeProblemDetails = context =>
            context.ProblemDetails.Detail ??= ApiDocument.TextOf(context.ProblemDetails.Status ?? context.HttpContext.Response.StatusCode));
        services.AddSingleton<IProblemDetailsWriter, ProblemsForAll>();
        services.AddExceptionHandler<Problems>();
        services.AddApiDocument();
        // So that a body that cannot be read is answered with the reason, in production too.
        services.Configure<RouteHandlerOptions>(routes => routes.ThrowOnBadRequest = true);
        services.ConfigureHttpJsonOptions(json => Wire.Configure(json.SerializerOptions));
    }
}

using MassTransit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Qbb.Hosting;
using Qbb.Hosting.Bus;
using Qbb.Hosting.Options;
using Qbb.Workers.Models;

namespace Qbb.Workers.Units;

/// <summary>Puts a worker's consumers on its queue.</summary>
public static class UnitConsumers
{
    // Tries beside the first; then the registry decides.
    private const int Retries = 2;

    // As a Job's manifest has them.
    private static readonly (string Option, string Setting)[] s_options = [("stage", nameof(WorkerOptions.Stage)), ("until-idle", nameof(WorkerOptions.UntilIdle))];

    /// <summary>Adds what all workers have alike, and the consumers of one.</summary>
    /// <param name="builder">Of the process.</param>
    /// <param name="service">The worker's name, which is its queue's.</param>
    /// <param name="consumers">Adds each with <see cref="AddUnit"/>.</param>
    public static IHostApplicationBuilder AddWorker(
        this IHostApplicationBuilder builder, string service, Action<IBusRegistrationConfigurator, string> consumers)
    {
        var services = builder.Services;
        foreach (var (option, setting) in s_options)
        {
            if (builder.Configuration[option] is { } value)
                builder.Configuration[$"{WorkerOptions.Section}:{setting}"] = value;
        }
        if (services.All(service => service.ServiceType != typeof(UnitRunner)))
        {
            services.AddValidatedOptions<WorkerOptions>(WorkerOptions.Section);
            services.AddHostedService<WorkerThreads>();
            services.AddSingleton<ComputeGate>();
            services.AddSingleton<CancelledPipelines>();
            services.AddSingleton<UnitMetrics>();
            services.AddHostedService<DeviceMetrics>();
            services.AddSingleton<UnitActivity>();
            services.AddHostedService<IdleEnd>();
            services.AddSingleton<IMachineCheck, MachineCheck>();
            services.AddSingleton<MachineBreaker>();
            services.AddHostedService(provider => provider.GetRequiredService<MachineBreaker>());
            services.AddHealthChecks().AddCheck<MachineBreaker>("machine").AddCheck<RestartCheck>("process", tags: [ServiceHost.Live]);
            services.AddSingleton<UnitRunner>();
            services.AddSingleton<ModelFolders>();
            services.AddSingleton<WarmMemory>();
            services.AddSingleton<WarmModels>();
        }
        builder.AddConsumers("cancelled", (bus, options) => bus.AddConsumer<PipelineCancelledConsumer>().Endpoint(endpoint =>
        {
            endpoint.Name = options.QueueOf("cancelled");
            endpoint.InstanceId = Guid.NewGuid().ToString("N");
            endpoint.Temporary = true;
        }));
        builder.AddQueues(service);
        return builder.AddConsumers(service, (bus, options) =>
        {
            var queue = options.QueueOf(service);
            bus.AddConfigureEndpointsCallback((context, name, endpoint) =>
            {
                if (name != queue)
                    return;
                // Commands are sent to the queue and published to nobody.
                endpoint.ConfigureConsumeTopology = false;
                endpoint.ConnectReceiveEndpointObserver(context.GetRequiredService<MachineBreaker>());
            });
            consumers(bus, queue);
        });
    }

    /// <summary>One unit at a time, and none waits here that another worker could do.</summary>
    public static void AddUnit<TConsumer>(this IBusRegistrationConfigurator bus, string queue)
        where TConsumer : class, IConsumer =>
        bus.AddConsumer<TConsumer>((_, consumer) => consumer.UseMessageRetry(retry => retry.Immediate(Retries))).Endpoint(endpoint =>
        {
            endpoint.Name = queue;
            endpoint.PrefetchCount = 1;
            endpoint.ConcurrentMessageLimit = 1;
        });
}

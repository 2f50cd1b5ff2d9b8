using MassTransit;
using MassTransit.UsageTracking;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Qbb.Hosting.Options;
using Qbb.Hosting.Startup;

namespace Qbb.Hosting.Bus;

/// <summary>One bus for all services of a process.</summary>
public static class BusExtensions
{
    // Left of a stop's time for what closes after the bus.
    private static readonly TimeSpan s_close = TimeSpan.FromSeconds(2);

    /// <summary>Adds consumers to the process's bus; of one name only the first time.</summary>
    public static IHostApplicationBuilder AddConsumers(
        this IHostApplicationBuilder builder, string name, Action<IBusRegistrationConfigurator, BusOptions> consumers)
    {
        Parts(builder).Add(name, consumers);
        return builder;
    }

    /// <summary>Declares queues that the process sends to or consumes from, before the bus starts.</summary>
    public static IHostApplicationBuilder AddQueues(this IHostApplicationBuilder builder, params IEnumerable<string> services)
    {
        Parts(builder).Queues.UnionWith(services);
        return builder;
    }

    /// <summary>Makes the bus, with the consumers that were added; call it once, when all are.</summary>
    public static IHostApplicationBuilder AddBus(this IHostApplicationBuilder builder)
    {
        builder.Services.AddValidatedOptions<BusOptions>(BusOptions.Section);
        var options = builder.Configuration.GetSection(BusOptions.Section).Read<BusOptions>();
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = options.StopTimeout);
        builder.Services.AddOptions<MassTransitHostOptions>().Configure(host =>
        {
            // What is at hand may finish, then it is handed back: all in less time than a stop may take.
            host.WaitUntilStarted = true;
            host.ConsumerStopTimeout = TimeSpan.FromSeconds(options.FinishSeconds);
            host.StopTimeout = options.StopTimeout - s_close;
        });
        var queues = Parts(builder).Queues;
        builder.Services.AddSingleton<QueueSender>();
        if (options.Transport == BusTransport.RabbitMq)
        {
            builder.Services.AddSingleton<IDependency, BrokerDependency>();
            builder.Services.AddSingleton<CutDeliveryFilter>();
            // By the time of the connections, whatever the service's clock says.
            builder.Services.AddSingleton(provider => ActivatorUtilities.CreateInstance<ConnectionWatch>(provider, TimeProvider.System));
            builder.Services.AddHealthChecks().AddCheck<ConnectionWatch>("connection", tags: [ServiceHost.Live]);
            builder.Services.AddSingleton(provider => new BrokerQueues(provider.GetRequiredService<IOptions<BusOptions>>(), queues));
            // Before the bus, which finds them as they are to be.
            builder.Services.AddHostedService<QueueDeclaration>();
        }
        builder.Services.AddMassTransit(bus =>
        {
            Parts(builder).All.ForEach(part => part(bus, options));
            if (options.Transport == BusTransport.RabbitMq)
                UseRabbitMq(bus, [.. queues.Select(options.QueueOf)]);
            else
                bus.UsingInMemory((context, memory) => memory.ConfigureEndpoints(context));
        });
        // MassTransit posts usage data to its maker five minutes after the start. DisableUsageTelemetry would not do: the environment variable
        // MASSTRANSIT_USAGE_TELEMETRY overrides it. Without a tracker nothing is gathered or sent.
        builder.Services.RemoveAll<IUsageTracker>();
        return builder;
    }

    private static void UseRabbitMq(IBusRegistrationConfigurator bus, HashSet<string> queues)
    {
        bus.AddConfigureEndpointsCallback((context, name, endpoint) =>
        {
            if (endpoint is not IRabbitMqReceiveEndpointConfigurator rabbit)
                return;
            if (context.GetRequiredService<IOptions<BusOptions>>().Value.QueueType == QueueType.Quorum && queues.Contains(name))
            {
                rabbit.SetQuorumQueue();
                rabbit.SetQueueArgument("x-delivery-limit", BrokerQueues.DeliveryLimit);
            }
            rabbit.UseFilter(context.GetRequiredService<CutDeliveryFilter>());
            rabbit.ConfigureChannel(channel => channel.UseFilter(context.GetRequiredService<ConnectionWatch>()));
        });
        bus.UsingRabbitMq(Configure);
    }

    private static void Configure(IBusRegistrationContext context, IRabbitMqBusFactoryConfigurator rabbit)
    {
        var options = context.GetRequiredService<IOptions<BusOptions>>().Value;
        rabbit.Host(options.Host, (ushort)options.Port, options.VirtualHost, host =>
        {
            host.Username(options.User);
            host.Password(options.ReadPassword());
        });
        UsePrefix(rabbit, options.Prefix);
        rabbit.ConfigureEndpoints(context);
    }

    /// <summary>Gives a system its own exchanges beside its own queues: else all systems of a broker would hear what each says.</summary>
    /// <param name="bus">The bus.</param>
    /// <param name="prefix">Of the system; empty for none.</param>
    public static void UsePrefix(IBusFactoryConfigurator bus, string prefix)
    {
        if (prefix.Length > 0)
            bus.MessageTopology.SetEntityNameFormatter(new PrefixEntityNameFormatter(bus.MessageTopology.EntityNameFormatter, prefix + "-"));
    }

    private static BusParts Parts(IHostApplicationBuilder builder)
    {
        if (!builder.Properties.TryGetValue(typeof(BusParts), out var parts))
            builder.Properties[typeof(BusParts)] = parts = new BusParts();
        return (BusParts)parts;
    }
}

using Microsoft.Extensions.Options;
using Qbb.Hosting.Bus;
using RabbitMQ.Client;

namespace Qbb.Hosting.Startup;

/// <summary>The RabbitMQ broker: it can be used once it lets the user in.</summary>
internal sealed class BrokerDependency(IOptions<BusOptions> options) : IDependency
{
    public string Name => $"the broker at {options.Value.Host}:{options.Value.Port}";

    public async Task ProbeAsync(CancellationToken cancellation)
    {
        var factory = new ConnectionFactory
        {
            HostName = options.Value.Host,
            Port = options.Value.Port,
            VirtualHost = options.Value.VirtualHost,
            UserName = options.Value.User,
            Password = options.Value.ReadPassword(),
            AutomaticRecoveryEnabled = false,
        };
        await using var connection = await factory.CreateConnectionAsync(cancellation);
    }
}

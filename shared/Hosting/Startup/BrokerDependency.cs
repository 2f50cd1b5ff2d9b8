using Microsoft.Extensions.Options;
using Qbb.Hosting.Bus;

namespace Qbb.Hosting.Startup;

/// <summary>The RabbitMQ broker: it can be used once it lets the user in.</summary>
internal sealed class BrokerDependency(IOptions<BusOptions> options) : IDependency
{
    public string Name => $"the broker at {options.Value.Address}";

    public async Task ProbeAsync(CancellationToken cancellation)
    {
        await using var connection = await options.Value.ConnectAsync(cancellation);
    }
}

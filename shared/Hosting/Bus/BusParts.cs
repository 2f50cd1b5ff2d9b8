using MassTransit;

namespace Qbb.Hosting.Bus;

/// <summary>What the services of a process add to its one bus.</summary>
internal sealed class BusParts
{
    private readonly HashSet<string> _names = [];

    /// <summary>The durable queues, by service.</summary>
    public HashSet<string> Queues { get; } = [];

    public List<Action<IBusRegistrationConfigurator, BusOptions>> All { get; } = [];

    /// <summary>Adds a part once, however often it is named.</summary>
    public void Add(string name, Action<IBusRegistrationConfigurator, BusOptions> part)
    {
        if (_names.Add(name))
            All.Add(part);
    }
}

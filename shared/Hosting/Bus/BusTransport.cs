namespace Qbb.Hosting.Bus;

/// <summary>What carries messages.</summary>
public enum BusTransport
{
    /// <summary>The process itself: for one process alone. Messages go with it; the registry sends again what is outstanding.</summary>
    Memory,

    /// <summary>A RabbitMQ broker.</summary>
    RabbitMq,
}

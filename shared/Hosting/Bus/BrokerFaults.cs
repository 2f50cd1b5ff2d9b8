using System.Net.Sockets;
using MassTransit;
using RabbitMQ.Client.Exceptions;

namespace Qbb.Hosting.Bus;

/// <summary>Errors of a broker that is out of reach: nothing is wrong with the message, and the same goes well when the broker is back.</summary>
public static class BrokerFaults
{
    private const ushort NotFound = RabbitMQ.Client.Constants.NotFound;
    private const ushort PreconditionFailed = RabbitMQ.Client.Constants.PreconditionFailed;

    public static bool IsAway(Exception error)
    {
        for (Exception? inner = error; inner is not null; inner = inner.InnerException)
        {
            if (inner is BrokerUnreachableException or AlreadyClosedException or ConnectFailureException or ConnectionException
                or TransportUnavailableException or MessageNotAcknowledgedException or SocketException or IOException
                or ObjectDisposedException or TimeoutException
                or OperationInterruptedException { ShutdownReason.ReplyCode: not (NotFound or PreconditionFailed) })
            {
                return true;
            }
        }
        return false;
    }
}

/// <summary>How long to wait for something that is out of reach: twice as long after every try, up to 5 minutes.</summary>
public static class Backoff
{
    public static TimeSpan Longest { get; } = TimeSpan.FromMinutes(5);

    /// <param name="tries">Those that have failed, at least 1.</param>
    /// <param name="first">The wait after the first; a second, unless something else is said.</param>
    public static TimeSpan After(int tries, TimeSpan? first = null) =>
        TimeSpan.FromTicks((long)Math.Min(Longest.Ticks, (first ?? TimeSpan.FromSeconds(1)).Ticks * Math.Pow(2, Math.Min(tries - 1, 30))));
}

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

/// <summary>How long to wait for something that is out of reach: longer after every try.</summary>
public static class Backoff
{
    public static TimeSpan Longest { get; } = TimeSpan.FromMinutes(5);

    /// <param name="tries">Those that have failed, at least 1.</param>
    /// <param name="first">The wait after the first; a second, unless something else is said.</param>
    /// <param name="longest">Never longer; 5 minutes, unless something else is said.</param>
    /// <param name="factor">By which it grows.</param>
    /// <param name="asked">The wait that the other side asks for, which counts if it is longer.</param>
    public static TimeSpan After(int tries, TimeSpan? first = null, TimeSpan? longest = null, double factor = 2, TimeSpan? asked = null)
    {
        var most = longest ?? Longest;
        var growing = (first ?? TimeSpan.FromSeconds(1)).Ticks * Math.Pow(factor, Math.Min(tries - 1, 30));
        return TimeSpan.FromTicks((long)Math.Min(most.Ticks, Math.Max(growing, asked?.Ticks ?? 0)));
    }

    /// <summary>For deliveries to systems of others, which may be away for days: from 10 s to 6 hours; twelve tries take 19 hours.</summary>
    public static TimeSpan ForDays(int tries, TimeSpan? asked = null) => After(tries, TimeSpan.FromSeconds(10), TimeSpan.FromHours(6), 2.5, asked);
}

using System.Net;
using System.Net.Sockets;

namespace Qbb.Tests;

/// <summary>Ports of this machine that nobody listens at.</summary>
internal static class FreePort
{
    // Below those from which Linux takes the ports of connections, so that none is taken before a server of the test listens there.
    private const int First = 10_000;
    private const int Count = 20_000;
    private static int s_next = Random.Shared.Next(Count);

    public static int Next()
    {
        for (var tries = 0; ; tries++)
        {
            var port = First + (int)((uint)Interlocked.Increment(ref s_next) % Count);
            using var listener = new TcpListener(IPAddress.Loopback, port);
            try
            {
                listener.Start();
                return port;
            }
            catch (SocketException) when (tries < Count)
            {
                // Somebody listens there.
            }
        }
    }
}

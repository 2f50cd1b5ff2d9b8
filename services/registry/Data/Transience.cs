using System.Data.Common;
using System.Net.Sockets;
using Qbb.Artifacts;

namespace Qbb.Registry.Data;

/// <summary>Errors that pass by themselves: a database or a store that is away or busy.</summary>
internal static class Transience
{
    public static bool IsTransient(Exception error)
    {
        for (Exception? inner = error; inner is not null; inner = inner.InnerException)
        {
            if (inner is DbException { IsTransient: true } or StoreAwayException or SocketException or TimeoutException or IOException)
                return true;
        }
        return false;
    }
}

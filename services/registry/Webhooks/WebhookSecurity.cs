using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace Qbb.Registry.Webhooks;

/// <summary>
/// Signatures as Standard Webhooks has them: HMAC-SHA256 over "id.time.body" with the secret's bytes, in base64, so that a delivery that was recorded cannot be
/// sent again later. While a secret is being replaced there is one for each.
/// </summary>
internal static class WebhookSignature
{
    private const string Prefix = "whsec_";

    public static string NewSecret() => Prefix + Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

    public static string Of(IEnumerable<string> secrets, Guid id, long time, string body)
    {
        var text = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{id}.{time}.{body}"));
        return string.Join(' ', secrets.Select(secret => "v1," + Convert.ToBase64String(HMACSHA256.HashData(Convert.FromBase64String(secret[Prefix.Length..]), text))));
    }
}

/// <summary>An address that webhooks may not lead to.</summary>
internal sealed class PrivateAddressException(string message) : Exception(message);

/// <summary>Opens connections to public addresses only, unless others are allowed: the name is looked up here, and the address that was checked is the one that is connected to, so that a name cannot change in between.</summary>
internal static class PublicConnections
{
    public static SocketsHttpHandler Handler(bool allowPrivate) => new()
    {
        AllowAutoRedirect = false,
        PooledConnectionLifetime = TimeSpan.FromMinutes(2),
        // A proxy of the environment would look the name up itself.
        UseProxy = false,
        ConnectCallback = async (context, cancellation) =>
        {
            var addresses = await Dns.GetHostAddressesAsync(context.DnsEndPoint.Host, cancellation);
            var allowed = allowPrivate ? addresses : [.. addresses.Where(IsPublic)];
            if (allowed.Length == 0)
                throw new PrivateAddressException($"{context.DnsEndPoint.Host} is a private address: set Webhooks:AllowPrivate to allow it");
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await socket.ConnectAsync(allowed, context.DnsEndPoint.Port, cancellation);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        },
    };

    /// <summary>Networks without public addresses; the chart's network policy has the same.</summary>
    public static IReadOnlyList<IPNetwork> Private { get; } =
    [
        .. new[]
        {
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
            "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fc00::/7",
            "fe80::/10", "fec0::/10", "ff00::/8",
        }.Select(IPNetwork.Parse),
    ];

    public static bool IsPublic(IPAddress address)
    {
        var plain = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        return !Private.Any(network => network.Contains(plain));
    }
}

using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Qbb.Tests.S3;

/// <summary>A service on a free port of this machine that gives one and the same answer to all requests (without bodies).</summary>
internal sealed class RefusingService : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _answering;
    private readonly byte[] _answer;

    /// <param name="status">The first line.</param>
    /// <param name="body">XML.</param>
    public RefusingService(string status, string body)
    {
        _answer = Encoding.UTF8.GetBytes(
            $"{status}\r\nContent-Type: application/xml\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\nConnection: close\r\n\r\n{body}");
        _listener.Start();
        _answering = AnswerAsync();
    }

    public string Address => $"http://{_listener.LocalEndpoint}";

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _answering;
        _listener.Dispose();
        _stop.Dispose();
    }

    private async Task AnswerAsync()
    {
        try
        {
            while (true)
                await AnswerAsync(await _listener.AcceptTcpClientAsync(_stop.Token));
        }
        catch (OperationCanceledException)
        {
            // The test is over.
        }
    }

    private async Task AnswerAsync(TcpClient client)
    {
        using var closing = client;
        try
        {
            using var reader = new StreamReader(client.GetStream());
            while (await reader.ReadLineAsync(_stop.Token) is { Length: > 0 })
            {
                // The request's lines up to the empty one.
            }
            await client.GetStream().WriteAsync(_answer, _stop.Token);
        }
        catch (IOException)
        {
            // It asked and went.
        }
    }
}

using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>What is wrong on the way to a server.</summary>
public enum Fault
{
    None,

    /// <summary>Nobody answers, and what was connected is cut off.</summary>
    Away,

    /// <summary>Everything takes longer.</summary>
    Slow,

    /// <summary>Every request is answered 500.</summary>
    Error500,

    /// <summary>Answers are cut off in their middle.</summary>
    Cut,
}

/// <summary>A proxy on this machine in front of a server, whose way can be disturbed.</summary>
internal sealed class FaultProxy : IDisposable
{
    private const int Answers = 4;
    private static readonly TimeSpan s_delay = TimeSpan.FromMilliseconds(20);
    private static readonly byte[] s_refusal = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"u8.ToArray();
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentDictionary<Socket, bool> _open = [];
    private readonly int _target;
    private volatile Fault _fault;

    public FaultProxy(int target)
    {
        _target = target;
        _listener.Start();
        _ = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Connections that met a fault.</summary>
    public int Met { get; private set; }

    public Fault Fault
    {
        get => _fault;
        set
        {
            _fault = value;
            if (value is Fault.None or Fault.Slow)
                return;
            foreach (var socket in _open.Keys)
                Abort(socket);
        }
    }

    public void Dispose()
    {
        _listener.Dispose();
        foreach (var socket in _open.Keys)
            Abort(socket);
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
                _ = ServeAsync(await _listener.AcceptSocketAsync());
        }
        catch (Exception error) when (error is ObjectDisposedException or SocketException)
        {
            // The test is over.
        }
    }

    private async Task ServeAsync(Socket client)
    {
        using var server = new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            Met += _fault == Fault.None ? 0 : 1;
            if (_fault == Fault.Away)
                return;
            _open[client] = _open[server] = true;
            if (_fault == Fault.Error500)
            {
                await client.ReceiveAsync(new byte[1 << 16]);
                await client.SendAsync(s_refusal);
                client.Shutdown(SocketShutdown.Both);
                return;
            }
            await server.ConnectAsync(IPAddress.Loopback, _target);
            await Task.WhenAny(PumpAsync(client, server, isAnswer: false), PumpAsync(server, client, isAnswer: true));
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // Cut off.
        }
        finally
        {
            Abort(client);
            Abort(server);
        }
    }

    private async Task PumpAsync(Socket from, Socket to, bool isAnswer)
    {
        var buffer = new byte[1 << 16];
        for (var chunks = 1; await from.ReceiveAsync(buffer) is > 0 and var count; chunks++)
        {
            if (_fault == Fault.Slow)
                await Task.Delay(s_delay);
            var isCut = isAnswer && _fault == Fault.Cut && chunks >= Answers;
            await to.SendAsync(buffer.AsMemory(0, isCut ? count / 2 : count));
            if (isCut)
                return;
        }
    }

    private void Abort(Socket socket)
    {
        _open.TryRemove(socket, out _);
        try
        {
            // Without the good-bye of a close, as a power cut ends it.
            socket.LingerState = new LingerOption(true, 0);
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // It is closed already.
        }
        socket.Dispose();
    }
}

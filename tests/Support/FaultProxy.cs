using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Qbb.Tests;

/// <summary>What is wrong on the way to a server.</summary>
public enum Outage
{
    None,

    /// <summary>Nobody answers, and what was connected is cut off.</summary>
    Away,

    /// <summary>Everything takes longer.</summary>
    Slow,

    /// <summary>Every request is answered 500.</summary>
    Error500,

    /// <summary>Every few answers one is cut off in its middle, and the connection with it.</summary>
    Cut,
}

/// <summary>A proxy on this machine in front of a server, whose way can be disturbed.</summary>
internal sealed class FaultProxy : IDisposable
{
    private const int CutEvery = 4;
    private static readonly TimeSpan s_delay = TimeSpan.FromMilliseconds(20);
    private static readonly byte[] s_refusal = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"u8.ToArray();
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentDictionary<Socket, bool> _open = [];
    private readonly int _target;
    private volatile Outage _outage;
    private int _answers;

    public FaultProxy(int target)
    {
        _target = target;
        _listener.Start();
        _ = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Connections that met a fault.</summary>
    public int Met { get; private set; }

    public Outage Outage
    {
        get => _outage;
        set
        {
            _outage = value;
            if (value is Outage.None or Outage.Slow)
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
            Met += _outage == Outage.None ? 0 : 1;
            if (_outage == Outage.Away)
                return;
            _open[client] = _open[server] = true;
            if (_outage == Outage.Error500)
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
        while (await from.ReceiveAsync(buffer) is > 0 and var count)
        {
            if (_outage == Outage.Slow)
                await Task.Delay(s_delay);
            var isCut = isAnswer && _outage == Outage.Cut && Interlocked.Increment(ref _answers) % CutEvery == 0;
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

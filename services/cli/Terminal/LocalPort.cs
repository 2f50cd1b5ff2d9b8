using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Qbb.Hosting;

namespace Qbb.Cli.Terminal;

/// <summary>The port of a command that serves.</summary>
internal static class LocalPort
{
    public static Option<int> Option(int standard) => new("--port") { Description = "Port on this machine; 0 for any that is free.", DefaultValueFactory = _ => standard };

    /// <summary>Refuses a port that is taken, before anything is started: a host that finds it so says much more than that.</summary>
    /// <exception cref="InvalidInputException">The port is taken, or the number is invalid.</exception>
    public static void Check(int port)
    {
        if (port is < 0 or > 65535)
            throw new InvalidInputException($"--port is {port}; it must be 1 to 65535, or 0 for any that is free");
        if (port == 0)
            return;
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
        }
        catch (SocketException error)
        {
            throw Taken(port, error);
        }
    }

    /// <summary>Where a server on this machine listens: under all its names, which a port that is still to be found cannot have.</summary>
    public static string Url(int port) => port == 0 ? "http://127.0.0.1:0" : $"http://localhost:{port}";

    /// <summary>Runs a server; what keeps it from starting is told as invalid input.</summary>
    public static async Task RunAsync(int port, Func<Task> run)
    {
        try
        {
            await run();
        }
        catch (IOException error) when (error.InnerException is AddressInUseException)
        {
            throw Taken(port, error);
        }
        catch (Exception error) when (ServiceHost.Explain(error) is { } message && error is not OperationCanceledException)
        {
            throw new InvalidInputException(message, error);
        }
    }

    private static InvalidInputException Taken(int port, Exception error) =>
        new($"port {port} is not available ({error.Message}): choose another with --port, or 0 for any that is free", error);
}

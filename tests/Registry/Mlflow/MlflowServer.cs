using Qbb.Registry.Mlflow;
using Qbb.Registry.Mlflow.Client;

namespace Qbb.Registry.Tests.Mlflow;

/// <summary>The server that tests of the protocol talk to: the one that MLFLOW_TRACKING_URI names, else a fake of the test's own.</summary>
public sealed class MlflowServer : IAsyncLifetime
{
    private static readonly string? s_real = Environment.GetEnvironmentVariable("MLFLOW_TRACKING_URI");

    internal FakeMlflow? Fake { get; private set; }

    internal IMlflowApi Api { get; private set; } = null!;

    internal Uri Address { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        if (string.IsNullOrEmpty(s_real))
            Fake = await FakeMlflow.StartAsync();
        Address = Fake?.Address ?? new Uri(s_real!);
        Api = MlflowConnection.Connect(new MlflowOptions
        {
            TrackingUri = Address.AbsoluteUri,
            Token = Environment.GetEnvironmentVariable("MLFLOW_TRACKING_TOKEN"),
            Username = Environment.GetEnvironmentVariable("MLFLOW_TRACKING_USERNAME"),
            Password = Environment.GetEnvironmentVariable("MLFLOW_TRACKING_PASSWORD"),
        }, TimeProvider.System);
    }

    public async ValueTask DisposeAsync()
    {
        Api.Dispose();
        if (Fake is not null)
            await Fake.DisposeAsync();
    }

    /// <summary>A name that nobody has used, on a server that remembers earlier runs of the tests.</summary>
    internal static string NewName(string prefix) => $"{prefix}-{Guid.NewGuid():N}"[..24];
}

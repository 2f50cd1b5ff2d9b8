using System.Diagnostics;
using Amazon.Runtime;
using Amazon.S3;

namespace Qbb.Tests.S3;

/// <summary>An S3 service of the test's own, in memory, on a free port of this machine (tests/s3/server.mjs); it ends with the test.</summary>
public sealed class S3Server : IAsyncLifetime
{
    public const string Bucket = "qbb-tests";
    public const string AccessKey = "test";
    public const string SecretKey = "secret";

    private static readonly string s_folder = Path.Combine(Reference.Root, "tests", "s3");
    private Process? _process;

    /// <summary>Where it listens.</summary>
    public string Endpoint { get; private set; } = "";

    /// <summary>As a user of the service has it.</summary>
    public AmazonS3Client Client { get; private set; } = null!;

    /// <summary>The settings that choose it.</summary>
    public string[] Settings =>
    [
        "Artifacts:Store=S3", $"Artifacts:S3:Bucket={Bucket}", $"Artifacts:S3:Endpoint={Endpoint}",
        $"Artifacts:S3:AccessKey={AccessKey}", $"Artifacts:S3:SecretKey={SecretKey}",
    ];

    private static bool IsInstalled => Directory.Exists(Path.Combine(s_folder, "node_modules", "fauxqs"));

    /// <summary>Skips the test where the server is not installed.</summary>
    public static void Require() => Assert.SkipUnless(IsInstalled, "needs the tests' S3 server: npm ci --prefix tests/s3");

    public async ValueTask InitializeAsync()
    {
        if (!IsInstalled)
            return;
        _process = Process.Start(new ProcessStartInfo("node", [Path.Combine(s_folder, "server.mjs"), Bucket])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        Endpoint = $"http://127.0.0.1:{await _process.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("the S3 server does not start")}";
        Client = NewClient(Endpoint);
    }

    public static AmazonS3Client NewClient(string endpoint) => new(new BasicAWSCredentials(AccessKey, SecretKey), new AmazonS3Config
    {
        ServiceURL = endpoint,
        ForcePathStyle = true,
        AuthenticationRegion = "us-east-1",
        MaxErrorRetry = 1,
    });

    public async ValueTask DisposeAsync()
    {
        if (_process is null)
            return;
        Client.Dispose();
        _process.StandardInput.Close();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }
}

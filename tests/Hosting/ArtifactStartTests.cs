using Microsoft.Extensions.DependencyInjection;
using Qbb.Artifacts;
using Qbb.Artifacts.S3;
using Qbb.Hosting.Startup;
using Qbb.Tests;
using Qbb.Tests.S3;

namespace Qbb.Hosting.Tests;

/// <summary>A service whose artifacts are in S3, as it starts.</summary>
public sealed class ArtifactStartTests(S3Server server) : IClassFixture<S3Server>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_bucket_that_is_there_becomes_the_store()
    {
        S3Server.Require();
        await using var app = ServiceHost.Build(Settings(server.Endpoint, S3Server.Bucket), "test", "http://127.0.0.1:0", _ => { });
        await ServiceHost.StartAsync(app);
        app.Services.GetRequiredService<IArtifactStore>().ShouldBeOfType<S3ArtifactStore>();
        app.Services.GetRequiredService<IUnitResults>().ShouldBeOfType<S3UnitResults>();
        var blob = await app.Services.GetRequiredService<IArtifactStore>().PutAsync(new MemoryStream([1, 2, 3]));
        await app.Services.GetRequiredService<ILocalBlobs>().LinkAsync(blob.Digest, _folder.File("link"));
        (await File.ReadAllBytesAsync(_folder.File("link"))).ShouldBe([1, 2, 3]);
        File.Exists(_folder.File($"artifacts/cache/blobs/{blob.Digest.Value[..2]}/{blob.Digest}")).ShouldBeTrue();
        await app.StopAsync();
    }

    [Fact]
    public async Task A_bucket_that_is_missing_is_waited_for_and_then_given_up()
    {
        S3Server.Require();
        var message = await FailAsync(Settings(server.Endpoint, "no-such-bucket"));
        message.ShouldContain($"the bucket no-such-bucket at {server.Endpoint} (Artifacts:S3) is away");
        message.ShouldContain("there is no bucket no-such-bucket; create it, or correct the name");
        message.ShouldContain("Gave up after 1 s (Startup:WaitSeconds)");
    }

    [Fact]
    public async Task Credentials_that_are_refused_are_said()
    {
        await using var service = new RefusingService("HTTP/1.1 403 Forbidden", "<Error><Code>InvalidAccessKeyId</Code><Message>unknown</Message></Error>");
        (await FailAsync(Settings(service.Address, "models"))).ShouldContain("the credentials are refused (InvalidAccessKeyId); correct them");
    }

    [Fact]
    public async Task A_service_that_is_away_is_said() =>
        (await FailAsync(Settings("http://127.0.0.1:9", "models"))).ShouldContain("Connection refused");

    private static async Task<string> FailAsync(string[] settings)
    {
        await using var app = ServiceHost.Build(settings, "test", "http://127.0.0.1:0", _ => { });
        var error = await Should.ThrowAsync<StartupException>(() => ServiceHost.StartAsync(app));
        ServiceHost.Explain(error).ShouldBe(error.Message);
        return error.Message;
    }

    private string[] Settings(string endpoint, string bucket) =>
    [
        "--Artifacts:Store=s3", $"--Artifacts:Folder={_folder.File("artifacts")}", $"--Artifacts:S3:Endpoint={endpoint}", $"--Artifacts:S3:Bucket={bucket}",
        $"--Artifacts:S3:AccessKey={S3Server.AccessKey}", $"--Artifacts:S3:SecretKey={S3Server.SecretKey}", "--Startup:WaitSeconds=1", "--Logging:LogLevel:Default=Error",
    ];
}

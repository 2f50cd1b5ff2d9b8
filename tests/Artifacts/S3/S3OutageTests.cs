using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Amazon.Runtime;
using Amazon.S3;
using Qbb.Artifacts.S3;
using Qbb.Tests;
using Qbb.Tests.S3;

namespace Qbb.Artifacts.Tests.S3;

/// <summary>
/// Whatever happens on the way to the service, and whenever, the store says that it is away: any other error would be taken for the unit's, and fail
/// a pipeline.
/// </summary>
public sealed class S3OutageTests(S3Server server, ITestOutputHelper output) : IClassFixture<S3Server>
{
    private const int Calls = 150;
    private const int LargeBytes = 9 << 20;

    [Fact]
    public async Task Every_outage_is_an_outage()
    {
        S3Server.Require();
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        using var proxy = new FaultProxy(new Uri(server.Endpoint).Port);
        using var client = new AmazonS3Client(new BasicAWSCredentials(S3Server.AccessKey, S3Server.SecretKey), new AmazonS3Config
        {
            ServiceURL = $"http://127.0.0.1:{proxy.Port}",
            ForcePathStyle = true,
            AuthenticationRegion = "us-east-1",
            MaxErrorRetry = 0,
        });
        var bucket = new ArtifactBucket(client, S3Server.Bucket, $"{Guid.NewGuid():N}/");
        var store = new S3ArtifactStore(bucket);
        var results = new S3UnitResults(store, bucket);
        var large = new byte[LargeBytes];
        random.NextBytes(large);
        var known = (await store.PutAsync(new MemoryStream(large))).Digest;
        var manifest = new ArtifactManifest([KeyValuePair.Create("large", new ManifestEntry(known, large.Length))]);
        await manifest.PutAsync(store);
        var result = new UnitResult(manifest.Digest, new JsonObject());
        await results.RememberAsync(known, result);
        Func<Task>[] calls =
        [
            () => store.PutAsync(new MemoryStream(RandomNumberGenerator.GetBytes(1000))),
            () => store.PutAsync(new MemoryStream([.. large, (byte)random.Next()])),
            () => store.FindAsync(known),
            () => store.KeepAsync(known),
            () => results.FindAsync(known),
            () => results.RememberAsync(Digest.FromHash(RandomNumberGenerator.GetBytes(32)), result),
            () => ArtifactManifest.ReadAsync(store, manifest.Digest),
            async () => await store.ListAsync().CountAsync(),
            async () => await results.ListAsync().CountAsync(),
            async () =>
            {
                await using var stream = await store.OpenReadAsync(known);
                await stream.CopyToAsync(Stream.Null);
            },
        ];
        Outage[] outages = [Outage.Away, Outage.Error500, Outage.Cut];
        var (met, others) = (0, new List<string>());
        for (var call = 0; call < Calls; call++)
        {
            var (which, outage) = (random.Next(calls.Length), outages[random.Next(outages.Length)]);
            var at = TimeSpan.FromMilliseconds(random.Next(2) == 0 ? 0 : random.NextDouble() * 6);
            var before = Task.Run(async () =>
            {
                await Task.Delay(at);
                proxy.Outage = outage;
            });
            if (at == TimeSpan.Zero)
                await before;
            try
            {
                await calls[which]();
            }
            catch (StoreAwayException)
            {
                met++;
            }
            catch (Exception error)
            {
                others.Add($"call {which} of {call}, {outage} after {at.TotalMilliseconds:0.0} ms: {error}");
            }
            await before;
            proxy.Outage = Outage.None;
        }
        output.WriteLine($"{met} of {Calls} calls met an outage");
        others.ShouldBeEmpty();
        met.ShouldBeGreaterThan(Calls / 4);
        for (var which = 0; which < calls.Length; which++)
            await calls[which]();
    }
}

using System.Diagnostics;
using System.Globalization;
using Qbb.Tests;
using Qbb.Tests.S3;

namespace Qbb.Registry.Tests.Service;

/// <summary>Collections of a bucket with many blobs.</summary>
public sealed class S3CollectionTests(S3Server s3) : IClassFixture<S3Server>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    /// <summary>QBB_BLOBS=100000 for the size that is promised.</summary>
    [Fact]
    public async Task Many_blobs_are_collected_in_under_two_minutes_by_few_requests()
    {
        S3Server.Require();
        var count = int.Parse(Environment.GetEnvironmentVariable("QBB_BLOBS") ?? "20000", CultureInfo.InvariantCulture);
        await using var server = await RegistryServer.StartAsync(_folder, null, [.. s3.Settings.Select(setting => $"--{setting}")]);
        var uploaded = await server.UploadAsync("tiny");
        await server.ExpireLeasesAsync();
        using var client = new HttpClient();
        await client.GetStringAsync($"{s3.Endpoint}/fill/{S3Server.Bucket}/{count}");

        var before = await RequestsAsync();
        var watch = Stopwatch.StartNew();
        var report = await server.CollectAsync();
        var took = watch.Elapsed;
        var requests = await RequestsAsync() - before;

        TestContext.Current.TestOutputHelper?.WriteLine($"{count} blobs in {took.TotalSeconds:0.0} s by {requests} requests");
        report.Blobs.ShouldBe(count);
        report.Kept.ShouldBe(3, "the version's files and their manifest");
        requests.ShouldBeLessThan(count / 100);
        took.ShouldBeLessThan(TimeSpan.FromMinutes(2));
        (await server.Client.GetByteArrayAsync($"/api/models/tiny/versions/{uploaded.Version}/files/config.json")).ShouldBe("{}"u8.ToArray());

        async Task<int> RequestsAsync() => int.Parse(await client.GetStringAsync($"{s3.Endpoint}/requests"), CultureInfo.InvariantCulture);
    }

    public void Dispose() => _folder.Dispose();
}

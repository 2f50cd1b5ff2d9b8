using Qbb.Artifacts;
using Qbb.Artifacts.S3;
using Qbb.Cli.Registry;
using Qbb.Cli.Tests;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Tests;
using Qbb.Tests.S3;

namespace Qbb.EndToEnd.Tests;

/// <summary>Everything with its artifacts in S3.</summary>
public sealed class S3Tests(S3Server s3) : IClassFixture<S3Server>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task An_upload_is_quantized_from_a_bucket_into_a_bucket()
    {
        S3Server.Require();
        using (var up = new UpApp(_folder.File("data"), TinyRecipes.Plain(), [.. s3.Settings, "Artifacts:S3:Prefix=models"]))
        {
            Command.Done("push", TinyRecipes.Model, "--url", up.Url, "--json");
            Command.Done("watch", TinyRecipes.ModelName, "--url", up.Url, "--json");
            Command.Done("pull", $"{TinyRecipes.ModelName}@champion", "-o", _folder.File("pulled"), "--url", up.Url);

            using var api = RegistryApi.Connect(new Uri(up.Url));
            var report = await api.CollectAsync(deletedDays: 0, resultDays: 0, graceMinutes: 0);
            report.Blobs.ShouldBeGreaterThan(0, "units' results are of no more use");
            report.Kept.ShouldBeGreaterThan(0);
            Command.Done("pull", $"{TinyRecipes.ModelName}@champion", "-o", _folder.File("again"), "--url", up.Url);
        }
        QbbProcess.Run("quantize", TinyRecipes.Model, "-o", _folder.File("direct"), "--bases", "2", "--group", "16", "--preset", "weights", "--threads", "1").Code.ShouldBe(0);
        foreach (var folder in new[] { "pulled", "again" })
            File.ReadAllBytes(_folder.File(folder + "/model.safetensors")).SequenceEqual(File.ReadAllBytes(_folder.File("direct/model.safetensors"))).ShouldBeTrue();

        var store = new S3ArtifactStore(new ArtifactBucket(s3.Client, S3Server.Bucket, "models/"));
        (await store.ListAsync().CountAsync()).ShouldBeGreaterThan(0);
        Directory.GetDirectories(_folder.File("data/artifacts")).Select(Path.GetFileName).ShouldBe(["cache"], "the bucket has the rest");
    }

    [Fact]
    public void A_bucket_that_is_missing_stops_the_start()
    {
        S3Server.Require();
        var up = QbbProcess.Run(["up", "--port", "0", "--data", _folder.File("data"), "--set", .. s3.Settings, "Artifacts:S3:Bucket=missing", "Startup:WaitSeconds=1"]);
        up.Code.ShouldBe(2);
        up.Error.ShouldContain("there is no bucket missing; create it, or correct the name");
    }

    [Fact]
    public async Task A_text_to_score_on_is_put_where_the_services_look()
    {
        S3Server.Require();
        var text = _folder.Write("text.txt", "once upon a time");
        var digest = await ScoringText.StoreAsync(text, _folder.File("data"), [.. s3.Settings, "Artifacts:S3:Prefix=texts"], CancellationToken.None);
        (await new S3ArtifactStore(new ArtifactBucket(s3.Client, S3Server.Bucket, "texts/")).FindAsync(digest)).ShouldNotBeNull();
        (await new LocalArtifactStore(_folder.File("data/artifacts")).FindAsync(await ScoringText.StoreAsync(text, _folder.File("data"), [], CancellationToken.None))).ShouldNotBeNull();

        (await Should.ThrowAsync<InvalidInputException>(() => ScoringText.StoreAsync(_folder.File("none.txt"), _folder.File("data"), [], CancellationToken.None))).Message.ShouldContain("none.txt: cannot be read");
        (await Should.ThrowAsync<InvalidInputException>(() => ScoringText.StoreAsync(text, _folder.File("data"), [.. s3.Settings, "Artifacts:S3:Bucket=missing"], CancellationToken.None))).Message
            .ShouldContain("there is no bucket missing");
    }
}

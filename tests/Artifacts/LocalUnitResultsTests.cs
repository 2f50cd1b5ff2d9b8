using System.Text.Json.Nodes;
using Qbb.Contracts;
using Qbb.Tests;

namespace Qbb.Artifacts.Tests;

public sealed class LocalUnitResultsTests : IDisposable
{
    private static readonly Digest s_unit = Digest.Of("unit");
    private readonly TemporaryFolder _folder = new();
    private readonly LocalArtifactStore _store;
    private readonly LocalUnitResults _results;

    public LocalUnitResultsTests()
    {
        _store = new LocalArtifactStore(_folder.Path);
        _results = new LocalUnitResults(_store, _folder.Path);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_first_result_stands()
    {
        var (first, second) = (await ResultAsync("first"), await ResultAsync("second"));
        (await _results.FindAsync(s_unit)).ShouldBeNull();
        (await _results.RememberAsync(s_unit, first)).Manifest.ShouldBe(first.Manifest);
        (await _results.RememberAsync(s_unit, second)).Manifest.ShouldBe(first.Manifest);
        (await _results.FindAsync(s_unit))!.Event["name"]!.ToString().ShouldBe("first");
        (await _results.ListAsync().ToListAsync()).Single().Unit.ShouldBe(s_unit);
    }

    [Fact]
    public async Task A_result_whose_files_are_gone_is_forgotten()
    {
        var (first, second) = (await ResultAsync("first"), await ResultAsync("second"));
        await _results.RememberAsync(s_unit, first);
        await _store.DeleteAsync(Digest.Of("first"));
        (await _results.FindAsync(s_unit)).ShouldBeNull();
        (await _results.RememberAsync(s_unit, second)).Manifest.ShouldBe(second.Manifest);
        (await _results.ForgetAsync(s_unit)).ShouldBeTrue();
        (await _results.ForgetAsync(s_unit)).ShouldBeFalse();
    }

    [Fact]
    public async Task Of_many_at_once_all_get_the_same()
    {
        var all = await Task.WhenAll(Enumerable.Range(0, 16).Select(k => Task.Run(async () =>
            (await _results.RememberAsync(s_unit, await ResultAsync($"result {k}"))).Manifest)));
        all.Distinct().Count().ShouldBe(1);
    }

    private async Task<UnitResult> ResultAsync(string content)
    {
        var blob = await _store.PutAsync(new MemoryStream(System.Text.Encoding.UTF8.GetBytes(content)));
        var manifest = new ArtifactManifest([KeyValuePair.Create("file", new ManifestEntry(blob.Digest, blob.Size))]);
        await manifest.PutAsync(_store);
        return new UnitResult(manifest.Digest, new JsonObject { ["name"] = content });
    }
}

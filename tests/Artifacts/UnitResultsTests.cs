using System.Text;
using System.Text.Json.Nodes;

namespace Qbb.Artifacts.Tests;

/// <summary>What every memory of results must do.</summary>
public abstract class UnitResultsTests
{
    private static readonly Digest s_unit = Digest.Of("unit");

    protected abstract IArtifactStore Store { get; }

    protected abstract IUnitResults Results { get; }

    [Fact]
    public async Task The_first_result_stands()
    {
        var (first, second) = (await ResultAsync("first"), await ResultAsync("second"));
        (await Results.FindAsync(s_unit)).ShouldBeNull();
        (await Results.RememberAsync(s_unit, first)).Manifest.ShouldBe(first.Manifest);
        (await Results.RememberAsync(s_unit, second)).Manifest.ShouldBe(first.Manifest);
        (await Results.FindAsync(s_unit))!.Event["name"]!.ToString().ShouldBe("first");
        (await Results.ListAsync().ToListAsync()).Single().Unit.ShouldBe(s_unit);
    }

    [Fact]
    public async Task A_result_whose_files_are_gone_is_forgotten()
    {
        var (first, second) = (await ResultAsync("first"), await ResultAsync("second"));
        await Results.RememberAsync(s_unit, first);
        await Store.DeleteAsync(Digest.Of("first"));
        (await Results.FindAsync(s_unit)).ShouldBeNull();
        (await Results.RememberAsync(s_unit, second)).Manifest.ShouldBe(second.Manifest);
        (await Results.ForgetAsync(s_unit)).ShouldBeTrue();
        (await Results.ForgetAsync(s_unit)).ShouldBeFalse();
        (await Results.ListAsync().ToListAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task Of_many_at_once_all_get_the_same()
    {
        var all = await Task.WhenAll(Enumerable.Range(0, 16).Select(k => Task.Run(async () =>
            (await Results.RememberAsync(s_unit, await ResultAsync($"result {k}"))).Manifest)));
        all.Distinct().Count().ShouldBe(1);
    }

    [Fact]
    public async Task Finding_makes_a_result_and_its_files_new_again()
    {
        var result = await ResultAsync("result");
        await Results.RememberAsync(s_unit, result);
        var (before, file) = ((await Results.ListAsync().SingleAsync()).LastUsed, (await Store.FindAsync(Digest.Of("result")))!.LastUsed);
        await Task.Delay(1100);
        (await Results.FindAsync(s_unit)).ShouldNotBeNull();
        (await Results.ListAsync().SingleAsync()).LastUsed.ShouldBeGreaterThan(before);
        (await Store.FindAsync(Digest.Of("result")))!.LastUsed.ShouldBeGreaterThan(file);
    }

    [Fact]
    public async Task Many_results_are_listed()
    {
        var result = await ResultAsync("result");
        await Task.WhenAll(Enumerable.Range(0, 100).Select(k => Results.RememberAsync(Digest.Of($"unit {k}"), result)));
        (await Results.ListAsync().ToListAsync()).Select(found => found.Unit)
            .ShouldBe(Enumerable.Range(0, 100).Select(k => Digest.Of($"unit {k}")), ignoreOrder: true);
    }

    private async Task<UnitResult> ResultAsync(string content)
    {
        var blob = await Store.PutAsync(new MemoryStream(Encoding.UTF8.GetBytes(content)));
        var manifest = new ArtifactManifest([KeyValuePair.Create("file", new ManifestEntry(blob.Digest, blob.Size))]);
        await manifest.PutAsync(Store);
        return new UnitResult(manifest.Digest, new JsonObject { ["name"] = content });
    }
}

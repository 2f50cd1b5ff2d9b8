using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Tests;
using Qbb.Workers.Models;

namespace Qbb.Workers.Tests;

public sealed class ModelFoldersTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly LocalArtifactStore _store;

    public ModelFoldersTests() => _store = new LocalArtifactStore(_folder.File("artifacts"));

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_manifest_becomes_a_folder_of_links()
    {
        var manifest = await StoreAsync("one", "two");
        using var folders = New();
        var folder = await folders.OpenAsync(manifest);
        File.ReadAllText(Path.Combine(folder, "one")).ShouldBe("one");
        (await folders.OpenAsync(manifest)).ShouldBe(folder);
        File.GetUnixFileMode(Path.Combine(folder, "one")).HasFlag(UnixFileMode.UserWrite).ShouldBeFalse("it is the store's own file");
    }

    [Fact]
    public async Task Damage_is_found_before_a_file_is_used()
    {
        var manifest = await StoreAsync("one");
        var path = await _store.FetchAsync(Digest.Of("one"));
        File.Delete(path);
        File.WriteAllText(path, "eno");
        using var folders = New();
        await Should.ThrowAsync<DigestMismatchException>(() => folders.OpenAsync(manifest));
        await Should.ThrowAsync<DigestMismatchException>(() => folders.OpenAsync(manifest));
    }

    [Fact]
    public async Task A_folder_keeps_its_bytes_when_the_collector_was_there()
    {
        var manifest = await StoreAsync("one");
        using var folders = New();
        var folder = await folders.OpenAsync(manifest);
        await _store.DeleteAsync(Digest.Of("one"));
        File.ReadAllText(Path.Combine(folder, "one")).ShouldBe("one");
    }

    [Fact]
    public async Task Folders_of_the_past_go()
    {
        using var folders = New();
        var first = await folders.OpenAsync(await StoreAsync("first"));
        for (var k = 0; k < 64; k++)
            await folders.OpenAsync(await StoreAsync($"{k}"));
        Directory.Exists(first).ShouldBeFalse();
        File.ReadAllText(Path.Combine(await folders.OpenAsync(await StoreAsync("first")), "first")).ShouldBe("first");
    }

    [Fact]
    public void What_a_killed_process_left_goes()
    {
        var left = Directory.CreateDirectory(Path.Combine(_folder.File("work"), "left")).FullName;
        File.WriteAllText(Path.Combine(left, ".lock"), "");
        using var other = New();
        using var folders = New();
        Directory.Exists(left).ShouldBeFalse();
        Directory.Exists(other.Root).ShouldBeTrue();
    }

    private ModelFolders New() => new(_store, _store, Microsoft.Extensions.Options.Options.Create(new WorkerOptions { Folder = _folder.File("work") }));

    private async Task<Digest> StoreAsync(params string[] contents)
    {
        var files = new List<KeyValuePair<string, ManifestEntry>>();
        foreach (var content in contents)
        {
            var blob = await _store.PutAsync(new MemoryStream(System.Text.Encoding.UTF8.GetBytes(content)));
            files.Add(new(content, new ManifestEntry(blob.Digest, blob.Size)));
        }
        return (await new ArtifactManifest(files).PutAsync(_store)).Digest;
    }
}

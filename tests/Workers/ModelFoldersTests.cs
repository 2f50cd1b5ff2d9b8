using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Tests;
using Qbb.Workers.Models;

namespace Qbb.Workers.Tests;

/// <summary>Models laid out from the store, and kept loaded between units.</summary>
public sealed class ModelFoldersTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly LocalArtifactStore _store;
    private readonly IOptions<WorkerOptions> _options;

    public ModelFoldersTests()
    {
        _store = new LocalArtifactStore(_folder.File("store"));
        _options = Options.Create(new WorkerOptions { Folder = _folder.File("work"), Device = "cpu", WarmModels = 2 });
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_folder_holds_the_manifests_files_and_goes_with_the_process()
    {
        var manifest = await StoreAsync("one");
        string path;
        using (var folders = new ModelFolders(_store, _store, _options))
        {
            path = await folders.OpenAsync(manifest);
            (await File.ReadAllTextAsync(Path.Combine(path, "config.json"))).ShouldBe("one");
            (await folders.OpenAsync(manifest)).ShouldBe(path);
        }
        Directory.Exists(path).ShouldBeFalse();
    }

    [Fact]
    public async Task A_damaged_file_is_refused_and_leaves_no_folder()
    {
        var manifest = await StoreAsync("one");
        var blob = Directory.EnumerateFiles(_folder.File("store"), Digest.Of("one").Value + "*", SearchOption.AllDirectories).Single();
        File.SetUnixFileMode(blob, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        File.WriteAllText(blob, "two");
        using var folders = new ModelFolders(_store, _store, _options);
        await Should.ThrowAsync<ArtifactStoreException>(() => folders.OpenAsync(manifest));
        Directory.GetDirectories(folders.Root).ShouldBeEmpty();
    }

    [Fact]
    public void Folders_of_processes_that_were_killed_are_removed_and_those_in_use_are_not()
    {
        var abandoned = Directory.CreateDirectory(_folder.File("work/abandoned")).FullName;
        File.WriteAllText(Path.Combine(abandoned, ".lock"), "");
        using var living = new ModelFolders(_store, _store, _options);
        Directory.Exists(abandoned).ShouldBeFalse();
        using var other = new ModelFolders(_store, _store, _options);
        Directory.Exists(living.Root).ShouldBeTrue();
        other.Root.ShouldNotBe(living.Root);
    }

    [Fact]
    public async Task The_models_used_last_stay_loaded()
    {
        using var folders = new ModelFolders(_store, _store, _options);
        using var warm = new WarmModels(folders, _options);
        Digest[] manifests = [await ModelAsync("llama-gqa-tied"), await ModelAsync("qwen2"), await ModelAsync("mistral")];
        var first = await warm.LoadAsync(manifests[0]);
        var second = await warm.LoadAsync(manifests[1]);
        (await warm.LoadAsync(manifests[0])).ShouldBeSameAs(first);
        await warm.LoadAsync(manifests[2]);
        (await warm.LoadAsync(manifests[0])).ShouldBeSameAs(first);
        (await warm.LoadAsync(manifests[1])).ShouldNotBeSameAs(second, "two fit, and it was the one not used for longest");
    }

    private async Task<Digest> ModelAsync(string name) => (await ArtifactFolders.StoreAsync(_store, Reference.Path("architectures", name))).Digest;

    private async Task<Digest> StoreAsync(string text)
    {
        var folder = Directory.CreateDirectory(_folder.File("source-" + text)).FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "config.json"), text);
        return (await ArtifactFolders.StoreAsync(_store, folder)).Digest;
    }
}

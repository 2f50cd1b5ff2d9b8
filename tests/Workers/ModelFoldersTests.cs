using Microsoft.Extensions.Options;
using Qbb.Artifacts;
using Qbb.Checkpoints;
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
        _options = Options.Create(new WorkerOptions { Folder = _folder.File("work"), Device = "cpu" });
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
        // A process that did not see the blob come in.
        var other = new LocalArtifactStore(_store.Root);
        using var folders = new ModelFolders(other, other, _options);
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
        using var memory = new WarmMemory(_options);
        var warm = new WarmModels(folders, memory, _options);
        Digest[] manifests = [await ModelAsync("llama-gqa-tied"), await ModelAsync("qwen2"), await ModelAsync("mistral")];
        var first = await warm.LoadAsync(manifests[0]);
        var second = await warm.LoadAsync(manifests[1]);
        (await warm.LoadAsync(manifests[0])).ShouldBeSameAs(first);
        await warm.LoadAsync(manifests[2]);
        (await warm.LoadAsync(manifests[0])).ShouldBeSameAs(first);
        (await warm.LoadAsync(manifests[1])).ShouldNotBeSameAs(second, "two fit, and it was the one not used for longest");
    }

    [Theory]
    [InlineData("architectures/llama-gqa-tied")]
    [InlineData("gguf/narrow-Q4_1.gguf")]
    public async Task A_models_digest_follows_from_its_manifest_and_nothing_is_read(string name)
    {
        var path = Reference.Path(name.Split('/'));
        var source = path;
        if (File.Exists(path))
        {
            source = Directory.CreateDirectory(_folder.File("gguf")).FullName;
            File.Copy(path, Path.Combine(source, "model.gguf"));
        }
        using var folders = new ModelFolders(_store, _store, _options);
        var manifest = (await ArtifactFolders.StoreAsync(_store, source)).Digest;
        using var model = ModelSource.Open(await folders.OpenAsync(manifest));
        var read = new List<string>();
        using (FileHashes.Listen((_, _, file) => read.Add(file)))
        {
            using var memory = new WarmMemory(_options);
            folders.DigestOf(manifest, model).ShouldBe((await new WarmModels(folders, memory, _options).LoadAsync(manifest)).Digest);
            read.ShouldBeEmpty();
            folders.DigestOf(manifest, model).ShouldBe(ModelDigest.Compute(model));
            read.ShouldNotBeEmpty("what reads a file tells of it");
        }
    }

    [Fact]
    public void What_was_not_used_for_longest_goes_when_there_is_no_room()
    {
        using var memory = new WarmMemory(Options.Create(new WorkerOptions { WarmMegabytes = 3 }));
        Thing[] things = [new(), new(), new()];
        for (var k = 0; k < things.Length; k++)
        {
            memory.MakeRoom(1 << 20);
            memory.Keep(k, things[k], 1 << 20);
        }
        memory.Keep(0, memory.Take<Thing>(0)!, 1 << 20);
        memory.MakeRoom(1 << 20);
        things.Select(thing => thing.IsGone).ShouldBe([false, true, false]);
        memory.MakeRoom(4 << 20, used: 1);
        things.Select(thing => thing.IsGone).ShouldBe([false, true, true], "the one used last belongs to the unit at hand");
        memory.Take<Thing>(1).ShouldBeNull();
        memory.Dispose();
        things.ShouldAllBe(thing => thing.IsGone);
    }

    private sealed class Thing : IDisposable
    {
        public bool IsGone { get; private set; }

        public void Dispose() => IsGone = true;
    }

    private async Task<Digest> ModelAsync(string name) => (await ArtifactFolders.StoreAsync(_store, Reference.Path("architectures", name))).Digest;

    private async Task<Digest> StoreAsync(string text)
    {
        var folder = Directory.CreateDirectory(_folder.File("source-" + text)).FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "config.json"), text);
        return (await ArtifactFolders.StoreAsync(_store, folder)).Digest;
    }
}

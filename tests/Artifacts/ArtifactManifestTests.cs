using System.Text;
using Qbb.Tests;

namespace Qbb.Artifacts.Tests;

public class ArtifactManifestTests
{
    [Fact]
    public void The_order_of_files_does_not_matter()
    {
        var (a, b) = (KeyValuePair.Create("a", Entry("1")), KeyValuePair.Create("b/c", Entry("2")));
        var manifest = new ArtifactManifest([b, a]);
        manifest.Digest.ShouldBe(new ArtifactManifest([a, b]).Digest);
        manifest.Digest.ShouldBe(Digest.Of(manifest.ToJson().Span));
        ArtifactManifest.Parse(manifest.ToJson().Span).Files.ShouldBe(manifest.Files);
        manifest.Size.ShouldBe(2);
    }

    [Theory]
    [InlineData("")]
    [InlineData("/etc/passwd")]
    [InlineData("../x")]
    [InlineData("a/../x")]
    [InlineData("a//x")]
    [InlineData("a/")]
    [InlineData("./x")]
    [InlineData("a\\x")]
    [InlineData("c:x")]
    [InlineData("a\nx")]
    [InlineData("a\0x")]
    public void Names_that_lead_elsewhere_are_refused(string name) =>
        Should.Throw<ArtifactStoreException>(() => new ArtifactManifest([KeyValuePair.Create(name, Entry("1"))])).Message.ShouldContain("is not allowed");

    [Fact]
    public void A_name_cannot_be_file_and_folder() =>
        Should.Throw<ArtifactStoreException>(() => new ArtifactManifest([KeyValuePair.Create("a", Entry("1")), KeyValuePair.Create("a/b", Entry("2"))]))
            .Message.ShouldContain("a file and a folder");

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"files":{},"format":"qbb manifest 1"}""")]
    [InlineData("""{"files":{"a":{"digest":"x","size":1}},"format":"qbb manifest 1"}""")]
    [InlineData("""{"files":{"a":1},"format":"qbb manifest 1"}""")]
    [InlineData("""{"files":[],"format":"qbb manifest 1"}""")]
    [InlineData("""{"format":"qbb manifest 2"}""")]
    public void What_is_no_manifest_is_refused(string json) => Should.Throw<ArtifactStoreException>(() => ArtifactManifest.Parse(Encoding.UTF8.GetBytes(json)));

    [Fact]
    public void Another_text_of_the_same_content_is_refused()
    {
        var json = new ArtifactManifest([KeyValuePair.Create("a", Entry("1"))]).ToString();
        Should.Throw<ArtifactStoreException>(() => ArtifactManifest.Parse(Encoding.UTF8.GetBytes(json + " ")));
        Should.Throw<ArtifactStoreException>(() => ArtifactManifest.Parse(Encoding.UTF8.GetBytes(json.Replace("{\"files\"", "{ \"files\""))));
    }

    [Fact]
    public async Task A_folder_is_stored_without_what_is_hidden()
    {
        using var folder = new TemporaryFolder();
        using var root = new TemporaryFolder();
        var store = new LocalArtifactStore(root.Path);
        folder.Write("a.txt", "a");
        folder.Write(".lock", "");
        Directory.CreateDirectory(folder.File("sub"));
        folder.Write("sub/b.txt", "b");
        var manifest = await ArtifactFolders.StoreAsync(store, folder.Path);
        manifest.Files.Keys.ShouldBe(["a.txt", "sub/b.txt"]);
        (await ArtifactManifest.ReadAsync(store, manifest.Digest)).Digest.ShouldBe(manifest.Digest);
        (await ArtifactFolders.KeepAsync(store, manifest.Digest)).ShouldBeTrue();
        await store.DeleteAsync(manifest.Files["sub/b.txt"].Digest);
        (await ArtifactFolders.KeepAsync(store, manifest.Digest)).ShouldBeFalse();
    }

    private static ManifestEntry Entry(string content) => new(Digest.Of(content), 1);
}

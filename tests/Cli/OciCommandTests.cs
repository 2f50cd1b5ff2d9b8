using Qbb.Cli.Registry;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>qbb push and pull with Debian's docker-registry.</summary>
public sealed class OciCommandTests(RegistryVerbTests.Server server) : IClassFixture<RegistryVerbTests.Server>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_version_and_a_folder_go_to_an_OCI_registry_and_come_back()
    {
        await using var registry = await DockerRegistry.StartAsync();
        var target = $"oci://{registry.Host}/models/tiny:v2";
        var pushed = await RunAsync("push", "tiny@champion", target, "--url", server.Url, "--json");
        pushed.Code.ShouldBe(0, pushed.Error);
        ((string?)pushed.Json["target"], (int?)pushed.Json["version"]).ShouldBe((target, 2));
        // What is there is not sent again, and the same version is the same artifact.
        var again = await RunAsync("push", "tiny@2", $"oci://{registry.Host}/models/tiny:champion", "--url", server.Url, "--json");
        ((int?)again.Json["sent"], (string?)again.Json["digest"]).ShouldBe((0, (string?)pushed.Json["digest"]));

        var output = _folder.File("pulled");
        var pulled = await RunAsync("pull", target, "-o", output, "--json");
        pulled.Code.ShouldBe(0, pulled.Error);
        ((string?)pulled.Json["digest"]).ShouldBe((string?)pushed.Json["digest"]);
        var direct = _folder.File("direct");
        (await RunAsync("pull", "tiny@2", "-o", direct, "--url", server.Url)).Code.ShouldBe(0);
        foreach (var file in Directory.EnumerateFiles(direct).Where(file => !Path.GetFileName(file).StartsWith('.')))
            (await File.ReadAllBytesAsync(Path.Combine(output, Path.GetFileName(file)))).ShouldBe(await File.ReadAllBytesAsync(file), file);
        Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName).ShouldBe(["pulled", "direct"], ignoreOrder: true);

        // The pulled folder is a model, and goes back by the digests that are there.
        var folder = await RunAsync("push", output, $"oci://{registry.Host}/models/tiny:copy", "--name", "tiny", "--json");
        folder.Code.ShouldBe(0, folder.Error);
        ((int?)folder.Json["sent"]).ShouldBe(0);
        (await RunAsync("pull", $"oci://{registry.Host}/models/tiny@{folder.Json["digest"]}", "-o", output, "--force")).Code.ShouldBe(0);
    }

    [Fact]
    public async Task What_cannot_be_pushed_or_pulled_is_refused_with_a_remedy()
    {
        await using var registry = await DockerRegistry.StartAsync(withPassword: true);
        await SaysAsync("write oci://HOST/NAME:TAG", "pull", "oci://host/Name", "-o", _folder.File("a"));
        await SaysAsync("write oci://HOST/NAME:TAG", "push", "tiny@2", "docker.io/a:b", "--url", server.Url);
        await SaysAsync("give a tag", "push", "tiny@2", $"oci://{registry.Host}/a@sha256:{new string('0', 64)}", "--url", server.Url);
        await SaysAsync("it wants credentials", "pull", $"oci://{registry.Host}/a:b", "-o", _folder.File("a"));
        await SaysAsync("not for TARGET", "push", "tiny@2", $"oci://{registry.Host}/a:b", "--no-quantize");
        File.Exists(_folder.File("a")).ShouldBeFalse();

        async Task SaysAsync(string said, params string[] arguments)
        {
            var result = await RunAsync(arguments);
            result.Code.ShouldBe(2, result.Error);
            result.Error.ShouldContain(said);
        }
    }

    [Fact]
    public void Credentials_are_those_of_docker_login()
    {
        _folder.Write("config.json", """{"auths":{"registry.example.com":{"auth":"Y2k6czpjcmV0"},"other.example.com":{}}}""");
        OciTransfers.CredentialsIn(_folder.File("config.json"), "registry.example.com").ShouldBe(new("ci", "s:cret"));
        OciTransfers.CredentialsIn(_folder.File("config.json"), "other.example.com").ShouldBeNull();
        OciTransfers.CredentialsIn(_folder.File("config.json"), "none.example.com").ShouldBeNull();
        _folder.Write("bad.json", "{");
        Should.Throw<InvalidInputException>(() => OciTransfers.CredentialsIn(_folder.File("bad.json"), "x")).Message.ShouldContain("log in again");
    }

    public void Dispose() => _folder.Dispose();

    private static Task<QbbProcess.Result> RunAsync(params string[] arguments) => QbbCommands.RunAsync(arguments);
}

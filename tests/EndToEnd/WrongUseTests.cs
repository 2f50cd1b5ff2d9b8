using Qbb.Cli.Tests;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>What a new user does wrong with up, push, watch and pull: each is refused with the remedy, and nothing stays behind.</summary>
public sealed class WrongUseTests(WrongUseTests.Server server) : IClassFixture<WrongUseTests.Server>
{
    /// <summary>A registry with one model, whose pipeline waits for nobody.</summary>
    public sealed class Server : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private readonly UpServer _up;

        public Server()
        {
            Data = _folder.File("data");
            _up = new UpServer(Data, "--recipe", _folder.Write("plain.json", TinyRecipes.Plain().ToJson()));
            Command.Done("push", TinyRecipes.Model, "--name", "tiny", "--url", Url);
            Command.Done("watch", "tiny", "--url", Url);
        }

        public string Data { get; }

        public string Url => _up.Url;

        internal int Port => _up.Port;

        internal string Folder(string name) => _folder.File(name);

        internal string Write(string name, string text) => _folder.Write(name, text);

        public void Dispose()
        {
            _up.Dispose();
            _folder.Dispose();
        }
    }

    [Fact]
    public void A_port_that_is_taken() => Refused("port", ["--port", "0 for any that is free"], "up", "--port", $"{server.Port}", "--data", server.Folder("other"));

    [Fact]
    public void A_port_that_is_none() => Refused("--port is 70000", ["1 to 65535"], "up", "--port", "70000");

    [Fact]
    public void A_folder_that_another_works_with() => Refused("is in use by process", [server.Url, "--data"], "up", "--port", "0", "--data", server.Data);

    [Fact]
    public void A_setting_that_sets_nothing() => Refused("invalid --set Foo", ["Section:Name=value"], "up", "--set", "Foo", "--data", server.Folder("set"));

    [Fact]
    public void No_server() => Refused("no registry answers at http://127.0.0.1:9", ["qbb up", "--url"], "watch", "tiny", "--url", "http://127.0.0.1:9");

    [Fact]
    public void An_address_that_is_none() => Refused("invalid URL nonsense", ["http://localhost:8080"], "push", TinyRecipes.Model, "--url", "nonsense");

    [Fact]
    public void A_recipe_that_cannot_be_used() => Refused(
        "bases is 9", ["rounds is set, but with refinement none nothing is refined"], "push", TinyRecipes.Model, "--url", "http://127.0.0.1:9", "--recipe",
        server.Write("bad.json", """{ "decomposition": { "bases": 9, "refinement": "none", "rounds": 3 } }"""));

    [Fact]
    public void A_folder_that_is_no_model() =>
        Refused("is not a model folder", ["config.json"], "push", Path.GetDirectoryName(TinyRecipes.Model)!, "--name", "x", "--url", server.Url);

    [Fact]
    public void A_name_that_cannot_be() => Refused("bad name cannot be", ["--name"], "push", TinyRecipes.Model, "--name", "bad name", "--url", server.Url);

    [Theory]
    [InlineData("watch")]
    [InlineData("pull")]
    public void A_model_that_is_unknown(string command) =>
        Refused(
            "there is no model nothing", [server.Url, "qbb push"],
            [command, "nothing", "--url", server.Url, .. command == "pull" ? ["-o", server.Folder("none")] : (string[])[]]);

    [Theory]
    [InlineData("tiny@prod", "no version or alias prod")]
    [InlineData("tiny@9", "no version 9")]
    public void A_version_that_is_unknown(string version, string said)
    {
        Refused(said, ["newest version is 2", "champion (version 2)"], "pull", version, "-o", server.Folder("none"), "--url", server.Url);
        Directory.Exists(server.Folder("none")).ShouldBeFalse();
    }

    [Fact]
    public void A_folder_that_is_not_empty()
    {
        var folder = Directory.CreateDirectory(server.Folder("full")).FullName;
        File.WriteAllText(Path.Combine(folder, "mine.txt"), "mine");
        Refused("exists", ["--force"], "pull", "tiny", "-o", folder, "--url", server.Url);
        Directory.GetFileSystemEntries(folder).Select(Path.GetFileName).ShouldBe(["mine.txt"]);
        Refused("contains mine.txt", ["another output"], "pull", "tiny", "-o", folder, "--force", "--url", server.Url);
        File.Delete(Path.Combine(folder, "mine.txt"));
        Command.Done("pull", "tiny", "-o", folder, "--url", server.Url);
        Command.Done("pull", "tiny", "-o", folder, "--force", "--url", server.Url);
        File.Exists(Path.Combine(folder, "model.safetensors")).ShouldBeTrue();
    }

    [Fact]
    public void The_same_model_again_starts_nothing_and_says_so() =>
        Command.Done("push", TinyRecipes.Model, "--name", "tiny", "--url", server.Url).Out.ShouldContain("no pipeline started");

    private static void Refused(string said, string[] remedies, params string[] arguments)
    {
        // A server sets up its process, libtorch in it.
        var result = arguments[0] == "up" ? QbbProcess.Run(arguments) : Command.Run(arguments);
        result.Code.ShouldBe(2, result.Error);
        result.Error.ShouldContain(said);
        foreach (var remedy in remedies)
            result.Error.ShouldContain(remedy);
        result.Error.ShouldNotContain("   at ");
        result.Out.ShouldBeEmpty();
    }
}

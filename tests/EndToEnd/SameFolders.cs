using Qbb.Cli.Tests;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>What <c>qbb quantize</c> makes of the tiny model, once for all tests.</summary>
public sealed class DirectResult : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Lazy<string> _result;

    public DirectResult() => _result = new(() =>
    {
        var command = QbbProcess.Run(
            "quantize", TinyRecipes.Model, "-o", _folder.File("direct"), "--recipe", _folder.Write("direct.json", TinyRecipes.Full().ToJson()),
            "--threads", "1");
        command.Code.ShouldBe(0, command.Error);
        return _folder.File("direct");
    });

    public string Folder => _result.Value;

    public void Dispose() => _folder.Dispose();
}

/// <summary>Compares folders byte for byte.</summary>
internal static class SameFolders
{
    public static void Check(string expected, string actual)
    {
        var names = Directory.GetFiles(expected).Select(Path.GetFileName).Order().ToList();
        Directory.GetFiles(actual).Select(Path.GetFileName).Order().ShouldBe(names);
        foreach (var name in names)
            File.ReadAllBytes(Path.Combine(actual, name!)).SequenceEqual(File.ReadAllBytes(Path.Combine(expected, name!))).ShouldBeTrue(name);
    }
}

using Qbb.Cli.Tests;
using Qbb.Tests;
using Qbb.Tests.S3;

namespace Qbb.EndToEnd.Tests;

/// <summary>A large model up and down, as <c>qbb-bench transfer</c> does it.</summary>
public sealed class TransferTests(S3Server s3) : IClassFixture<S3Server>, IDisposable
{
    private const int Megabytes = 160;
    private const double MostGrowth = 100;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Memory_does_not_depend_on_the_size_of_a_file() => ShouldNotGrow();

    [Fact]
    public void Nor_does_it_where_the_files_are_in_a_bucket()
    {
        S3Server.Require();
        ShouldNotGrow(["--set", .. s3.Settings]);
    }

    private void ShouldNotGrow(params string[] more)
    {
        var result = QbbProcess.Bench(["transfer", "--size", $"{Megabytes}", "--folder", _folder.Path, "--json", .. more]);
        result.Code.ShouldBe(0, result.Error);
        var figures = result.Json["figures"]!.AsArray().ToDictionary(figure => figure!["what"]!.ToString(), figure => figure!["value"]!.GetValue<double>());
        foreach (var (what, value) in figures)
            TestContext.Current.TestOutputHelper?.WriteLine($"{what}: {value:0.0}");
        figures["size"].ShouldBeGreaterThan(0.99 * Megabytes);
        figures["growth"].ShouldBeLessThan(MostGrowth, "megabytes");
        Directory.GetFileSystemEntries(_folder.Path).ShouldBeEmpty();
    }
}

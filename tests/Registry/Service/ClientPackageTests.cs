using System.Diagnostics;
using System.IO.Compression;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Qbb.Contracts;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>The package Qbb.Client as a program elsewhere uses it: packed, restored from a folder, and its readme's sample built and run against a registry.</summary>
public sealed partial class ClientPackageTests : IDisposable
{
    private static readonly string s_project = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(SourceOfThis())!, "..", "..", "..", "shared", "Api"));
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task The_sample_of_the_readme_runs_with_the_package_alone()
    {
        Assert.SkipUnless(Directory.Exists(s_project), "needs the sources beside the tests");
        var packing = DotnetAsync("pack", s_project, "-c", "Release", "-o", _folder.File("feed"), "--artifacts-path", _folder.File("artifacts"), "-p:RunAnalyzers=false", "-v", "q", "--nologo");
        await using var server = await RegistryServer.StartAsync(_folder);
        await packing;
        var package = Directory.GetFiles(_folder.File("feed"), "*.nupkg").Single();
        var version = Check(package);

        // What the package depends on is in the machine's packages already: no feed is asked.
        var packages = Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        _folder.Write("sample/Directory.Build.props", "<Project />");
        _folder.Write("sample/Directory.Build.targets", "<Project />");
        _folder.Write("sample/Directory.Packages.props", "<Project />");
        _folder.Write("sample/Sample.csproj", $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <Nullable>enable</Nullable>
                <ImplicitUsings>enable</ImplicitUsings>
                <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
                <NuGetAudit>false</NuGetAudit>
                <RestoreSources>{_folder.File("feed")}</RestoreSources>
                <RestoreFallbackFolders>{packages}</RestoreFallbackFolders>
                <RestorePackagesPath>{_folder.File("packages")}</RestorePackagesPath>
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="Qbb.Client" Version="{version}" />
              </ItemGroup>
            </Project>
            """);
        _folder.Write("sample/Program.cs", Sample().Match(await File.ReadAllTextAsync(Path.Combine(s_project, "README.md"))).Groups[1].Value);
        await DotnetAsync("build", _folder.File("sample"), "-o", _folder.File("built"), "-p:RunAnalyzers=false", "-v", "q", "--nologo");

        foreach (var (name, bytes) in RegistryServer.SmallModel())
            _folder.Write($"model/{name}", bytes);
        var said = await DotnetAsync(_folder.File("built/Sample.dll"), $"{server.Client.BaseAddress}", _folder.File("model"), _folder.File("result"));
        said.ShouldContain("Publish: ");
        said.ShouldContain("version 2: KL ");
        var files = (await server.Api.GetVersionAsync("tiny", "2")).Files!;
        files.Count.ShouldBeGreaterThan(0);
        foreach (var file in files)
            Digest.Of(await File.ReadAllBytesAsync(Path.Combine(_folder.File("result"), file.Name))).ShouldBe(file.Digest);
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>What the package says of itself; its version.</summary>
    private static string Check(string package)
    {
        using var zip = ZipFile.OpenRead(package);
        var names = zip.Entries.Select(entry => entry.FullName).ToList();
        names.ShouldContain("README.md");
        names.Where(name => name.StartsWith("lib/", StringComparison.Ordinal)).Order()
            .ShouldBe(["lib/net10.0/Qbb.Api.dll", "lib/net10.0/Qbb.Api.xml", "lib/net10.0/Qbb.Contracts.dll"]);
        using var stream = zip.GetEntry("Qbb.Client.nuspec")!.Open();
        var metadata = XDocument.Load(stream).Root!.Elements().Single();
        Text("id").ShouldBe("Qbb.Client");
        Text("license").ShouldBe("Apache-2.0");
        Text("readme").ShouldBe("README.md");
        metadata.Descendants().Where(element => element.Name.LocalName == "dependency").Select(element => element.Attribute("id")!.Value)
            .ShouldBe(["Microsoft.Extensions.Http.Resilience", "Refit"], ignoreOrder: true);
        return Text("version");

        string Text(string name) => metadata.Elements().Single(element => element.Name.LocalName == name).Value;
    }

    private static async Task<string> DotnetAsync(params string[] arguments)
    {
        var info = new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Path.GetTempPath() };
        // No server of the compiler or of the build outlives the test.
        (info.Environment["DOTNET_CLI_USE_MSBUILD_SERVER"], info.Environment["MSBUILDDISABLENODEREUSE"], info.Environment["UseSharedCompilation"]) = ("0", "1", "false");
        using var process = Process.Start(info)!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(3));
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
        }
        process.ExitCode.ShouldBe(0, $"dotnet {string.Join(' ', arguments)}\n{await output}\n{await error}");
        return await output;
    }

    private static string SourceOfThis([CallerFilePath] string path = "") => path;

    [GeneratedRegex("```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Sample();
}

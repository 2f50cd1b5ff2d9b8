using System.Diagnostics;
using System.Globalization;
using Qbb.Cli.Registry;
using Qbb.Cli.Tests;
using Qbb.EndToEnd.Tests.Servers;
using Qbb.Registry.Tests.Service;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests;

/// <summary>An upload becomes a champion on the real servers, the champion is what the direct command makes, and the services stop quickly.</summary>
public sealed class WholeTests(RabbitServer broker, PostgresServer database, ITestOutputHelper output) : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(40);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>The tiny model's run is in <see cref="DisorderTests"/>, and its end in <see cref="UsageTelemetryTests"/>. This one takes minutes: QBB_SAMPLE_TEACHER=1 runs it.</summary>
    [Fact]
    public async Task The_sample_teacher()
    {
        Assert.SkipUnless(Environment.GetEnvironmentVariable("QBB_SAMPLE_TEACHER") == "1", "takes minutes: QBB_SAMPLE_TEACHER=1 runs it");
        await RunAsync(TinyRecipes.SampleTeacher, TinyRecipes.Teacher(), threads: 2, unitSeconds: 30);
        var watch = Stopwatch.StartNew();
        var command = QbbProcess.Run(
            "quantize", TinyRecipes.SampleTeacher, "-o", _folder.File("direct"), "--recipe", _folder.Write("direct.json", TinyRecipes.Teacher().ToJson()),
            "--threads", "2");
        command.Code.ShouldBe(0, command.Error);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"the direct command: {watch.Elapsed.TotalSeconds:0.0} s"));
        SameFolders.Check(_folder.File("direct"), _folder.File("pulled"));
    }

    /// <param name="model">A folder.</param>
    /// <param name="recipe">Of the policy.</param>
    /// <param name="threads">Of every worker.</param>
    /// <param name="unitSeconds">Of the workers.</param>
    private async Task RunAsync(string model, PipelineRecipe recipe, int threads, int unitSeconds)
    {
        broker.Require();
        using var cluster = new Cluster(broker, database.MigratedDatabase(), $"Worker:Threads={threads}", $"Worker:UnitSeconds={unitSeconds}");
        await cluster.StartAsync();
        using var registry = new RegistryCalls(cluster.Url);
        await registry.SetPolicyAsync("all", recipe);

        var watch = Stopwatch.StartNew();
        // A model whose configuration has no name is called after its folder by the command.
        var name = Path.GetFileName(model);
        var uploaded = await registry.PublishAsync(name, model);
        var ended = await registry.EndAsync(uploaded.Pipelines[0], s_patience, cluster.Logs);
        ended.State.ShouldBe(PipelineState.Succeeded, $"{ended}");
        var stages = ended.Stages.Select(stage => Wire.NameOf(stage.Name));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{string.Join(", ", stages)} in {watch.Elapsed.TotalSeconds:0.0} s"));
        var champion = await registry.Api.GetVersionAsync(name, "champion");
        champion.Version.ShouldBe(ended.Result!.Version);
        await Downloading.RunAsync(registry.Api, champion, _folder.File("pulled"), force: false, (_, _, _) => { }, CancellationToken.None);
        foreach (var service in (string[])[.. Cluster.Workers, "qbb-registry"])
        {
            var (code, time) = await cluster[service].StopAsync();
            code.ShouldBe(0, cluster[service].Log);
            time.ShouldBeLessThan(TimeSpan.FromSeconds(30), service);
        }
    }
}

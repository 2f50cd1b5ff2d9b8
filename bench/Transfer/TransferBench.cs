using System.Diagnostics;
using Qbb.Api;
using Qbb.Cli.Registry;

namespace Qbb.Bench.Transfer;

/// <summary>
/// A large model to a registry and back, as <c>qbb push</c> and <c>qbb pull</c> do it (both sides hash everything, and what is uploaded is
/// flushed to the disk), against <c>cp</c> and <c>sha256sum</c> of the same file.
/// </summary>
/// <param name="folder">On the disk to measure; what is written there goes in the end.</param>
/// <param name="size">Bytes of the model.</param>
/// <param name="settings">Of the registry.</param>
internal sealed class TransferBench(string folder, long size, IReadOnlyCollection<string> settings)
{
    private const long WarmUpBytes = 32 << 20;

    public IReadOnlyList<Figure> Run(Action<double, double, string> report, CancellationToken cancel)
    {
        var work = Directory.CreateDirectory(Path.Combine(folder, $"qbb-transfer-{Guid.NewGuid():N}")).FullName;
        try
        {
            return RunAsync(work, report, cancel).GetAwaiter().GetResult();
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }
    }

    private async Task<IReadOnlyList<Figure>> RunAsync(string work, Action<double, double, string> report, CancellationToken cancel)
    {
        var file = LargeModel.Write(Path.Combine(work, "model"), size, cancel);
        using var server = new ServerProcess(["up", "--data", Path.Combine(work, "data"), "--device", "cpu", .. settings.Count == 0 ? [] : settings.Prepend("--set")]);
        using var client = RegistryApi.Connect(server.Address);
        LargeModel.Write(Path.Combine(work, "small"), WarmUpBytes, cancel);
        await PullAsync(client, await PushAsync(client, Path.Combine(work, "small"), cancel), Path.Combine(work, "small-back"), cancel);

        report(1, 4, "cp and sha256sum");
        var plain = Time(() => RunAsync("cp", file, file + ".copy")) + Time(() => RunAsync("sha256sum", file + ".copy"));
        File.Delete(file + ".copy");
        server.ResetPeak();
        var before = server.Memory;
        report(2, 4, "upload");
        VersionView? version = null;
        var up = Time(async () => version = await PushAsync(client, Path.GetDirectoryName(file)!, cancel));
        report(3, 4, "download");
        var down = Time(() => PullAsync(client, version!, Path.Combine(work, "back"), cancel));
        var megabytes = new FileInfo(file).Length / 1e6;
        return
        [
            new Figure("size", megabytes, "MB"),
            new Figure("cp and sha256sum", megabytes / plain, "MB/s"),
            new Figure("upload", megabytes / up, "MB/s"),
            new Figure("download", megabytes / down, "MB/s"),
            new Figure("upload against cp and sha256sum", plain / up, "times as fast"),
            new Figure("download against cp and sha256sum", plain / down, "times as fast"),
            new Figure("server's memory before", before / 1e6, "MB"),
            new Figure("server's peak memory", server.PeakMemory / 1e6, "MB"),
            new Figure("growth", (server.PeakMemory - before) / 1e6, "MB"),
        ];
    }

    private static async Task<VersionView> PushAsync(IRegistryApi client, string model, CancellationToken cancel)
    {
        var files = await Uploading.RunAsync(client, model, true, (_, _, _) => { }, cancel);
        var posted = await client.CreateVersionAsync("transfer", new VersionRequest(files, Quantize: false), cancellation: cancel);
        return await client.GetVersionAsync("transfer", $"{posted.Version}", cancel);
    }

    private static Task PullAsync(IRegistryApi client, VersionView version, string output, CancellationToken cancel) =>
        Downloading.RunAsync(client, version, output, force: false, (_, _, _) => { }, cancel);

    private static async Task RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}");
    }

    private static double Time(Func<Task> work)
    {
        var watch = Stopwatch.StartNew();
        work().GetAwaiter().GetResult();
        return watch.Elapsed.TotalSeconds;
    }
}

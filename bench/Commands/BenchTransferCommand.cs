using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Bench.Transfer;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Models;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench transfer</c>: how fast a model goes to a registry and back.</summary>
internal sealed class BenchTransferCommand : QbbCommand
{
    private readonly Option<int> _size = new("--size") { Description = "Megabytes (10^6 bytes) of the model.", DefaultValueFactory = _ => 2000 };
    private readonly Option<string> _folder = new("--folder") { Description = "A folder on the disk to measure.", DefaultValueFactory = _ => "." };
    private readonly Option<string[]> _settings = new("--set")
    {
        Description = "A setting of the registry, as in qbb up.",
        AllowMultipleArgumentsPerToken = true,
    };

    public BenchTransferCommand() : base("transfer", "Measures upload and download against cp and sha256sum on the same disk, and the registry's memory.",
        "qbb-bench transfer --size 2000 --folder /srv")
    {
        foreach (var option in new Option[] { _size, _folder, _settings })
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var (size, folder) = (parsed.GetRequiredValue(_size), Path.GetFullPath(parsed.GetRequiredValue(_folder)));
        if (size < 1)
            throw new InvalidInputException($"--size is {size}; it must be at least 1 (megabyte)");
        if (!Directory.Exists(folder))
            throw new InvalidInputException($"--folder is {folder}, which does not exist; make it, or name another");
        var bench = new TransferBench(folder, size * 1_000_000L, parsed.GetValue(_settings) ?? []);
        var figures = ProgressBars.Run(output, "transferring", report => bench.Run(report, cancel));
        output.Result(new JsonObject { ["figures"] = FigureTable.Json(figures) }, screen => FigureTable.Print(screen, figures, "measured"));
    }
}

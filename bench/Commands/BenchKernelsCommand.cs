using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Bases.Cpu;
using Qbb.Bench.Cpu;
using Qbb.Bench.Gpu;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Models;
using Spectre.Console;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench kernels</c>: products from packed signs beside libtorch's products of plain weights.</summary>
internal sealed class BenchKernelsCommand : QbbCommand
{
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<int> _out = new("--out") { Description = "Rows of the weight.", DefaultValueFactory = _ => 14336 };
    private readonly Option<int> _in = new("--in") { Description = "Columns of the weight.", DefaultValueFactory = _ => 4096 };
    private readonly Option<GroupSize> _group = SharedOptions.Group("Columns that share a scale, or row.");
    private readonly Option<int[]> _bases = new("--bases") { Description = "N, one or more.", DefaultValueFactory = _ => [2, 3, 4], AllowMultipleArgumentsPerToken = true };
    private readonly Option<int[]> _tokens = new("--tokens", "--batch") { Description = "Tokens at once, one or more. Default: 1 8 512 on the CPU, 1 on a GPU.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<int?> _threads = new("--threads") { Description = "Threads beside one. Default: all cores." };
    private readonly Option<int> _repeats = new("--repeats") { Description = "Timed runs of each figure.", DefaultValueFactory = _ => 40 };
    private readonly Option<string?> _shape = new("--shape") { Description = "On a GPU: one shape only, IN,OUT. Default: the shapes of 7B and 70B models." };
    private readonly Option<bool> _variants = new("--variants") { Description = "On a GPU: also the kernels' other shapes of launch." };

    private readonly Option<bool> _ladder = new("--ladder") { Description = "On the CPU: also the ways that were tried and not taken (docs/kernels.md)." };

    public BenchKernelsCommand() : base("kernels", "Measures products from packed signs on this machine, one thread and several.",
        "qbb-bench kernels --device cpu", "qbb-bench kernels --device cuda --bases 4 --tokens 1 8 16 --json")
    {
        foreach (var option in new Option[] { _device, _out, _in, _group, _bases, _tokens, _threads, _repeats, _shape, _variants })
            Options.Add(option);
        Options.Add(_ladder);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        if (device.type == DeviceType.CUDA)
        {
            GpuKernelReport.Run(device, parsed.GetValue(_shape), parsed.GetValue(_group).Inputs, parsed.GetRequiredValue(_bases), Tokens(parsed, 1), parsed.GetValue(_variants), output, cancel);
            return;
        }
        int[] threads = [.. new[] { 1, SharedOptions.ApplyThreads(parsed.GetValue(_threads)) }.Distinct()];
        var (rows, columns) = (AtLeast(parsed, _out, 64), AtLeast(parsed, _in, 1));
        var bench = new CpuKernelBench(rows, columns, parsed.GetValue(_group).Inputs ?? columns, AtLeast(parsed, _repeats, 1), parsed.GetValue(_ladder));
        var figures = ProgressBars.Run(output, "measuring", report =>
            bench.Run(parsed.GetRequiredValue(_bases), Tokens(parsed, 1, 8, 512), threads, (done, total, what) => report(done, total, what), cancel));
        output.Result(new JsonObject
        {
            ["rows"] = rows,
            ["columns"] = columns,
            ["group"] = parsed.GetValue(_group).Inputs,
            ["libtorch"] = Natives.Version.ToString(),
            ["instructions"] = CpuKernels.Best.ToString().ToLowerInvariant(),
            ["readGBps"] = new JsonObject(bench.ReadBandwidths.Select(pair => KeyValuePair.Create(pair.Key.ToString(CultureInfo.InvariantCulture), (JsonNode?)pair.Value))),
            ["figures"] = new JsonArray([.. figures.Select(figure => Json(figure, bench.ReadBandwidths[figure.Threads]))]),
        }, screen => Print(screen, figures, bench, rows, columns));
    }

    private int[] Tokens(ParseResult parsed, params int[] usual) => parsed.GetValue(_tokens) is { Length: > 0 } given ? given : usual;

    private static int AtLeast(ParseResult parsed, Option<int> option, int least)
    {
        var value = parsed.GetRequiredValue(option);
        return value >= least ? value : throw new InvalidInputException($"{option.Name} is {value}; it must be at least {least}");
    }

    private static JsonObject Json(KernelFigure f, double read) => new()
    {
        ["what"] = f.What,
        ["bases"] = f.Bases,
        ["tokens"] = f.Tokens,
        ["threads"] = f.Threads,
        ["bytes"] = f.Bytes,
        ["bestMs"] = f.Best,
        ["medianMs"] = f.Median,
        ["speedup"] = f.Speedup,
        ["GBps"] = f.Bandwidth,
        ["shareOfRead"] = f.Bandwidth / read,
        ["error"] = f.Error,
    };

    private static void Print(IAnsiConsole screen, IReadOnlyList<KernelFigure> figures, CpuKernelBench bench, int rows, int columns)
    {
        var table = new Table().Border(TableBorder.Simple);
        // Short enough for 80 columns.
        foreach (var name in new[] { "kernel", "N", "tok.", "thr.", "best", "median", "× fp32", "GB/s", "read", "error" })
        {
            var column = new TableColumn(name) { Padding = new Spectre.Console.Padding(0, 0, 1, 0), NoWrap = true };
            table.AddColumn(name == "kernel" ? column : column.RightAligned());
        }
        string Text(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
        foreach (var f in figures)
            table.AddRow(f.What, f.Bases == 0 ? "" : Text(f.Bases, "0"), Text(f.Tokens, "0"), Text(f.Threads, "0"), Text(f.Best, "0.000"), Text(f.Median, "0.000"),
                Text(f.Speedup, "0.00"), Text(f.Bandwidth, "0.0"), Text(f.Bandwidth / bench.ReadBandwidths[f.Threads], "0 %"), f.Error is { } error ? Text(error, "0.0e0") : "");
        screen.Write(table);
        var read = string.Join(", ", bench.ReadBandwidths.Select(pair => $"{Text(pair.Value, "0.0")} GB/s with {pair.Key} thread{(pair.Key == 1 ? "" : "s")}"));
        Console.Out.WriteLine($"{columns} → {rows}, times in ms, reading alone: {read}; libtorch {Natives.Version}");
    }
}

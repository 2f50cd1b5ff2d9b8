using System.Globalization;
using System.Text.Json.Nodes;
using Qbb.Cli.Terminal;
using Qbb.Cuda;
using Qbb.Models;
using Spectre.Console;

namespace Qbb.Bench.Gpu;

/// <summary>Runs <see cref="KernelBench"/> over the shapes of well-known models and prints its rows.</summary>
internal static class GpuKernelReport
{
    private static readonly (int In, int Out)[] s_shapes = [(4096, 4096), (4096, 11008), (11008, 4096), (8192, 8192), (8192, 28672), (28672, 8192)];

    /// <param name="device">The GPU.</param>
    /// <param name="shape">IN,OUT; null for all shapes.</param>
    /// <param name="group">Inputs that share a scale; null for the row.</param>
    /// <param name="bases">Numbers of bases.</param>
    /// <param name="tokens">Batches.</param>
    /// <param name="variants">Also other shapes of launch.</param>
    /// <param name="output">Where to print.</param>
    /// <param name="cancel">Ends between two rows.</param>
    public static void Run(Device device, string? shape, int? group, int[] bases, int[] tokens, bool variants, Output output, CancellationToken cancel)
    {
        var bench = new KernelBench(device, group);
        using var off = torch.no_grad();
        bench.MeasureCopy();
        output.Note($"{CudaDevice.Get(device).Name}, copy {bench.CopyBytesPerSecond / 1e9:0} GB/s");
        var rows = new List<KernelRow>();
        foreach (var (inFeatures, outFeatures) in Shapes(shape))
            foreach (var row in bench.Shape(inFeatures, outFeatures, bases, tokens, variants))
            {
                cancel.ThrowIfCancellationRequested();
                rows.Add(row);
                output.Note(Line(row));
            }
        output.Result(new JsonObject
        {
            ["device"] = CudaDevice.Get(device).Name,
            ["copyBytesPerSecond"] = bench.CopyBytesPerSecond,
            ["rows"] = new JsonArray([.. rows.Select(row => new JsonObject
            {
                ["in"] = row.InFeatures, ["out"] = row.OutFeatures, ["batch"] = row.Batch, ["kernel"] = row.Kernel, ["bases"] = row.Bases,
                ["microseconds"] = row.Seconds * 1e6, ["timesDense"] = row.Speedup, ["bytesPerSecond"] = row.BytesPerSecond, ["shareOfCopy"] = row.ShareOfCopy,
            })]),
        }, screen => Print(rows, screen));
    }

    private static IEnumerable<(int In, int Out)> Shapes(string? text)
    {
        if (text is null)
            return s_shapes;
        var parts = text.Split(',');
        return parts.Length == 2 && int.TryParse(parts[0], out var inFeatures) && int.TryParse(parts[1], out var outFeatures) && inFeatures > 0 && outFeatures > 0
            ? [(inFeatures, outFeatures)]
            : throw new InvalidInputException($"--shape is '{text}'; give two numbers such as 4096,11008");
    }

    private static string Line(KernelRow row) => string.Create(CultureInfo.InvariantCulture,
        $"{row.InFeatures} -> {row.OutFeatures} batch {row.Batch} N {row.Bases} {row.Kernel}: {row.Seconds * 1e6:0.00} us, {row.Speedup:0.00} x, {row.BytesPerSecond / 1e9:0} GB/s, {row.ShareOfCopy:0%} of copy");

    private static void Print(List<KernelRow> rows, IAnsiConsole screen)
    {
        var table = new Table().Border(TableBorder.Simple).AddColumn("in → out").AddColumn("batch").AddColumn("N").AddColumn("kernel");
        foreach (var name in new[] { "µs", "× cuBLAS", "GB/s", "of copy" })
            table.AddColumn(new TableColumn(name).RightAligned());
        foreach (var row in rows)
            table.AddRow($"{row.InFeatures} → {row.OutFeatures}", $"{row.Batch}", row.Bases == 0 ? "" : $"{row.Bases}", row.Kernel, Text(row.Seconds * 1e6, "0.0"),
                Text(row.Speedup, "0.00"), Text(row.BytesPerSecond / 1e9, "0"), Text(row.ShareOfCopy, "0%"));
        screen.Write(table);
    }

    private static string Text(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}

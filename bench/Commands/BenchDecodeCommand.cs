using System.CommandLine;
using System.Text.Json.Nodes;
using Qbb.Bench.Gpu;
using Qbb.Bench.Shapes;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Cuda;
using Qbb.Models;
using Qbb.Models.Decoder.Graph;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench decode</c>: tokens per second of a model of known sizes, dense and as sums of binary matrices.</summary>
internal sealed class BenchDecodeCommand : QbbCommand
{
    private readonly Option<string> _shape = new("--shape") { Description = "7b or 135m for the sizes of LLaMA-2-7B or SmolLM2-135M, or a model whose shape to take.", DefaultValueFactory = _ => "7b" };
    private readonly Option<int[]> _bases = new("--bases") { Description = "N, one or more.", DefaultValueFactory = _ => [4], AllowMultipleArgumentsPerToken = true };
    private readonly Option<int> _group = new("--group") { Description = "Inputs that share a scale.", DefaultValueFactory = _ => 128 };
    private readonly Option<int> _batch = new("--batch") { Description = "Sequences at a time.", DefaultValueFactory = _ => 1 };
    private readonly Option<int> _context = new("--context") { Description = "Tokens in the cache at the start.", DefaultValueFactory = _ => 128 };
    private readonly Option<int> _tokens = new("--tokens") { Description = "Tokens of a measured run.", DefaultValueFactory = _ => 256 };
    private readonly Option<bool> _noDense = new("--no-dense") { Description = "Leave out the dense model." };
    private readonly Option<string> _device = SharedOptions.Device();
    private readonly Option<string?> _dtype = SharedOptions.DType();

    public BenchDecodeCommand() : base("decode", "Measures decoding with random weights on a GPU.",
        "qbb-bench decode --shape 7b --bases 4 --device cuda", "qbb-bench decode --shape 7b --bases 2 3 4 --dtype fp16 --json")
    {
        foreach (var option in new Option[] { _shape, _bases, _group, _batch, _context, _tokens, _noDense, _device, _dtype })
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var device = SharedOptions.ParseDevice(parsed.GetRequiredValue(_device));
        var dtype = SharedOptions.ParseDType(parsed.GetValue(_dtype), device);
        if (device.type != DeviceType.CUDA || dtype == ScalarType.Float32)
            throw new InvalidInputException("bench decode measures GPUs in half precision: use --device cuda and --dtype fp16 or bf16");
        var (batch, context, tokens, group) = (parsed.GetValue(_batch), parsed.GetValue(_context), parsed.GetValue(_tokens), parsed.GetValue(_group));
        if (batch is < 1 or > GraphDecoder.MostSequences || context < 1 || tokens < 1 || group < 32 || group % 32 != 0)
            throw new InvalidInputException($"--batch must be 1 to {GraphDecoder.MostSequences}, --context and --tokens at least 1, --group a multiple of 32");
        var bench = new DecodeBench(ModelShape.Of(parsed.GetRequiredValue(_shape)), device, dtype, batch, context, tokens);
        var figures = new List<Figure>();
        int?[] kinds = [.. parsed.GetValue(_noDense) ? Array.Empty<int?>() : [null], .. parsed.GetRequiredValue(_bases)];
        foreach (var bases in kinds)
        {
            output.Note(bases is null ? "dense" : $"N = {bases}");
            figures.AddRange(bench.Run(bases, group, cancel));
        }
        output.Result(new JsonObject { ["device"] = CudaDevice.Get(device).Name, ["libtorch"] = Natives.Version.ToString(), ["figures"] = FigureTable.Json(figures) },
            screen => FigureTable.Print(screen, figures, "measured"));
    }
}

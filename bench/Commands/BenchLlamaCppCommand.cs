using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Bases.Cpu;
using Qbb.Bench.Figures;
using Qbb.Bench.Peers;
using Qbb.Cli.Commands;
using Qbb.Cli.Terminal;
using Qbb.Models;

namespace Qbb.Bench.Commands;

/// <summary><c>qbb-bench llamacpp</c>: our decoder on the CPU beside llama.cpp's.</summary>
internal sealed class BenchLlamaCppCommand : QbbCommand
{
    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web);

    /// <summary>llama.cpp picks the library of the widest instructions that the processor has.</summary>
    private static readonly string[] s_upToAvx2 = ["haswell", "ivybridge", "sandybridge", "sse42", "x64"];

    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _gguf = new("--gguf") { Description = "The file that llama.cpp runs. Default: our model alone." };
    private readonly Option<string> _peer = new("--peer") { Description = "The folder of speed.mjs with its node_modules.", DefaultValueFactory = _ => "tests/peers/llamacpp" };
    private readonly Option<int> _threads = new("--threads") { Description = "Threads of both.", DefaultValueFactory = _ => 2 };
    private readonly Option<int> _prompt = new("--prompt") { Description = "Tokens of the prompt whose speed is measured.", DefaultValueFactory = _ => 512 };
    private readonly Option<int> _tokens = new("--tokens") { Description = "Tokens that are decoded one after another.", DefaultValueFactory = _ => 128 };
    private readonly Option<int> _rounds = new("--rounds") { Description = "Turns of each; the figures are medians.", DefaultValueFactory = _ => 5 };
    private readonly Option<bool> _avx2 = new("--avx2") { Description = "Neither uses AVX-512." };

    /// <summary>For the processes that this command starts.</summary>
    private readonly Option<bool> _once = new("--once") { Hidden = true };

    public BenchLlamaCppCommand() : base("llamacpp", "Measures decoding on the CPU against llama.cpp, in turns, each in a process of its own.",
        "qbb-bench llamacpp OUT --gguf MODEL.Q4_1.gguf --avx2")
    {
        Arguments.Add(_model);
        foreach (var option in (Option[])[_gguf, _peer, _threads, _prompt, _tokens, _rounds, _avx2, _once])
            Options.Add(option);
    }

    protected override void Run(ParseResult parsed, Output output, CancellationToken cancel)
    {
        var (model, threads, prompt, tokens) = (parsed.GetRequiredValue(_model), parsed.GetRequiredValue(_threads), parsed.GetRequiredValue(_prompt), parsed.GetRequiredValue(_tokens));
        var avx2 = parsed.GetValue(_avx2);
        if (parsed.GetValue(_once))
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(DecoderSpeed.Measure(model, threads, prompt, tokens, avx2 ? CpuInstructions.Avx2 : null), s_json));
            return;
        }
        var peer = Path.GetFullPath(parsed.GetRequiredValue(_peer));
        if (parsed.GetValue(_gguf) is not null && !Directory.Exists(Path.Combine(peer, "node_modules")))
            throw new InvalidInputException($"{peer} has no node_modules", "run make npm-packages, or name the folder with --peer");
        var narrow = avx2 && parsed.GetValue(_gguf) is not null ? Narrow(peer) : null;
        try
        {
            var (ours, theirs) = (new List<DecoderSpeed>(), new List<DecoderSpeed>());
            for (var round = 0; round < parsed.GetRequiredValue(_rounds); round++)
            {
                cancel.ThrowIfCancellationRequested();
                ours.Add(Ask(Environment.ProcessPath!, [typeof(BenchLlamaCppCommand).Assembly.Location, "llamacpp", model, "--once", "--threads", $"{threads}", "--prompt", $"{prompt}", "--tokens", $"{tokens}", .. avx2 ? ["--avx2"] : Array.Empty<string>()], avx2));
                if (parsed.GetValue(_gguf) is { } gguf)
                    theirs.Add(Ask("node", [Path.Combine(narrow ?? peer, "speed.mjs"), Path.GetFullPath(gguf), $"{threads}", $"{prompt}", $"{tokens}"], avx2));
            }
            var figures = Figures("qbb", ours).ToList();
            if (theirs.Count > 0)
            {
                figures.AddRange(Figures("llama.cpp", theirs));
                foreach (var (k, figure) in figures[..4].Index())
                    figures.Add(new(figure.What.Replace("qbb", "qbb / llama.cpp", StringComparison.Ordinal), figure.Value / figures[k + 4].Value, "×"));
            }
            output.Result(new JsonObject { ["figures"] = FigureTable.Json(figures) }, screen => FigureTable.Print(screen, figures, "median"));
        }
        finally
        {
            if (narrow is not null)
                Directory.Delete(narrow, recursive: true);
        }
    }

    private static IEnumerable<Figure> Figures(string who, List<DecoderSpeed> runs)
    {
        yield return new($"{who}: decode", Median(run => run.Decode), "tokens/s");
        yield return new($"{who}: prefill", Median(run => run.Prefill), "tokens/s");
        yield return new($"{who}: load", Median(run => run.Load), "s");
        yield return new($"{who}: peak memory", Median(run => run.Memory) / 1e6, "MB");

        double Median(Func<DecoderSpeed, double> figure) => runs.Select(figure).Order().ElementAt(runs.Count / 2);
    }

    /// <summary>A copy of the peer without the libraries of wider instructions.</summary>
    private static string Narrow(string peer)
    {
        var copy = Directory.CreateTempSubdirectory("qbb-bench-").FullName;
        foreach (var file in Directory.EnumerateFiles(peer, "*", SearchOption.AllDirectories))
        {
            var name = Path.GetFileName(file);
            if (name.StartsWith("libggml-cpu-", StringComparison.Ordinal) && !s_upToAvx2.Any(kept => name == $"libggml-cpu-{kept}.so"))
                continue;
            var target = Path.Combine(copy, Path.GetRelativePath(peer, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
        return copy;
    }

    private static DecoderSpeed Ask(string program, string[] arguments, bool avx2)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (avx2)
            (start.Environment["DOTNET_EnableAVX512"], start.Environment["DOTNET_EnableAVX512F"]) = ("0", "0");
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var line = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? JsonSerializer.Deserialize<DecoderSpeed>(line, s_json)! : throw new InvalidInputException($"{Path.GetFileName(program)} failed: {error.Result.Trim()}");
    }
}

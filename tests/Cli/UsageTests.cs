using System.CommandLine;
using System.Diagnostics;
using Qbb.Cli.Commands;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>Help, completions, and what a mistyped command line gets.</summary>
public class UsageTests
{
    private static readonly string s_model = Reference.Path("gguf", "narrow-F16.gguf");

    [Theory]
    [InlineData("unknown option --base", "did you mean --bases?", "qbb quantize --help", "quantize", "m", "-o", "o", "--base", "3")]
    [InlineData("unknown option --al", "did you mean --all?", "qbb inspect --help", "inspect", "--al")]
    [InlineData("unknown command quantise", "did you mean quantize?", "qbb --help", "quantise", "m")]
    [InlineData("unknown command conquer", "usage: qbb COMMAND [options]", "qbb --help", "conquer")]
    [InlineData("unknown command conquer", "usage: qbb COMMAND [options]", "qbb --help", "help", "conquer")]
    [InlineData("unknown command conquer", "usage: qbb COMMAND [options]", "qbb --help", "conquer", "--help")]
    [InlineData("unknown command lst", "did you mean ls?", "qbb policy --help", "policy", "lst")]
    [InlineData("'--output' is required", "usage: qbb quantize MODEL [options]", "qbb quantize --help", "quantize", "m")]
    [InlineData("--init is 'RtnClip': give cascaded, random, non-cascaded, rtn, rtn-clip, gptq, awq, omniquant", "usage: qbb quantize", "qbb quantize --help", "quantize", "m", "-o", "o", "--init", "RtnClip")]
    [InlineData("--format is 'fp8': give fp16, bf16, fp32", "usage: qbb export", "qbb export --help", "export", "m", "-o", "o", "--format", "fp8")]
    [InlineData("--keep goes with a method that distils", "usage: qbb compare", "qbb compare --help", "compare", "m", "-o", "o", "--keep", "0.5")]
    [InlineData("quip has codes of 2, 3, 4 bits: leave out quip, or --bases 8", "usage: qbb compare", "qbb compare --help", "compare", "m", "-o", "o", "--methods", "rtn,quip", "--bases", "2,8")]
    [InlineData("--teacher and --student go together", "usage: qbb filter", "qbb filter --help", "filter", "d", "-o", "o", "--teacher", "t")]
    [InlineData("give --text FILE, --task FILE or both", "usage: qbb eval MODEL", "qbb eval --help", "eval", "m")]
    public void A_wrong_command_line_gets_three_lines(string wrong, string hint, string help, params string[] arguments)
    {
        var result = QbbCommands.Run(arguments);
        result.Code.ShouldBe(2);
        result.Out.ShouldBeEmpty();
        var lines = result.Error.TrimEnd().Split('\n');
        lines.Length.ShouldBe(3, result.Error);
        lines[0].ShouldStartWith("error: ");
        lines[0].ShouldContain(wrong);
        lines[1].ShouldStartWith(hint);
        lines[2].ShouldBe($"help:  {help}");
    }

    /// <summary>Rules of several options read their values; a mistyped one is the person's error, and never an exception. A comma is no decimal point, and no separator of thousands.</summary>
    [Fact]
    public void Every_option_with_a_number_or_a_name_says_what_it_takes()
    {
        var tried = 0;
        foreach (var (path, option) in Options(CommandLine.Root(), []))
        {
            var type = Nullable.GetUnderlyingType(option.ValueType) ?? option.ValueType;
            if (!type.IsEnum && type != typeof(int) && type != typeof(long) && type != typeof(ulong) && type != typeof(double))
                continue;
            foreach (var value in type == typeof(double) ? ["x", "1,5"] : (string[])["x"])
            {
                var result = QbbCommands.Run([.. path, option.Name, value]);
                result.Code.ShouldBe(2, $"{string.Join(' ', path)} {option.Name}: {result.Error}");
                result.Error.ShouldContain($"{option.Name} is '{value}': give ");
                tried++;
            }
        }
        tried.ShouldBeGreaterThan(100);

        static IEnumerable<(string[] Path, Option Option)> Options(Command command, string[] path) =>
            command.Options.Select(option => (path, option)).Concat(command.Subcommands.SelectMany(inner => Options(inner, [.. path, inner.Name])));
    }

    [Theory]
    [InlineData(2, "usage", "unknown option --base", "did you mean --bases?", "quantize", "m", "-o", "o", "--base", "3")]
    [InlineData(2, "invalid-input", "/no/such", "qbb inspect --help", "inspect", "/no/such")]
    [InlineData(2, "registry-away", "no registry answers at http://127.0.0.1:9", "qbb up", "ls", "--url", "http://127.0.0.1:9")]
    public void With_json_a_failure_is_one_object(int exit, string code, string message, string remedy, params string[] arguments)
    {
        var result = QbbCommands.Run([.. arguments, "--json"]);
        result.Code.ShouldBe(exit);
        result.Json["code"]!.GetValue<string>().ShouldBe(code);
        result.Json["message"]!.GetValue<string>().ShouldContain(message);
        result.Json["remedy"]!.GetValue<string>().ShouldContain(remedy);
        result.Json["exitCode"]!.GetValue<int>().ShouldBe(exit);
    }

    [Fact]
    public void Help_of_a_command_is_the_same_both_ways_and_groups_options()
    {
        var help = QbbCommands.Run("help", "quantize");
        help.Code.ShouldBe(0);
        help.Out.ShouldBe(QbbCommands.Run("quantize", "--help").Out);
        help.Out.ShouldBe(QbbCommands.Run("quantize", "--force", "--nonsense", "--help").Out);
        string[] titles = ["Arguments:", "Quantization:", "Calibration:", "Distillation:", "Compute:", "Output:", "Examples:"];
        help.Out.Split('\n').Where(titles.Contains).ShouldBe(titles);
        help.Out.ShouldContain("--init cascaded|random|non-cascaded|rtn|rtn-clip|gptq|awq|omniquant");
        QbbCommands.Run("help").Out.ShouldBe(QbbCommands.Run("--help").Out);
        QbbCommands.Run("help", "policy", "set").Out.ShouldContain("Usage: qbb policy set NAME --recipe FILE [options]");
    }

    [Fact]
    public void Every_command_has_help_with_examples()
    {
        var commands = QbbCommands.Run("--help").Out.Split("Commands:\n")[1].Split("\n\n")[0].Split('\n')
            .Where(line => line.Length > 2 && line[2] != ' ').Select(line => line.Trim().Split(' ')[0]).ToList();
        commands.Count.ShouldBeGreaterThan(20);
        foreach (var command in commands.Except(["help", "completions", "policy"]))
            QbbCommands.Run(command, "--help").Out.ShouldContain($"Examples:\n  qbb {command}");
    }

    [Theory]
    [InlineData("qbb quan", "quantize")]
    [InlineData("qbb ", "ls", "help", "quantize")]
    [InlineData("qbb help pol", "policy")]
    [InlineData("qbb policy s", "set", "show")]
    [InlineData("qbb quantize MODEL --init rt", "rtn", "rtn-clip")]
    [InlineData("qbb quantize MODEL --calib", "--calibration", "--calibration-context", "--calibration-dtype", "--calibration-sequences")]
    [InlineData("qbb policy set small --mo", "--models")]
    [InlineData("qbb eval MODEL --layout ", "auto", "raw", "wikitext")]
    [InlineData("qbb completions f", "fish")]
    [InlineData("qbb quantize MODEL -o /us", "/usr")]
    [InlineData("qbb generate MODEL --tokens ")]
    public void Bash_completes(string line, params string[] words)
    {
        using var folder = new TemporaryFolder();
        var script = folder.Write("completions", QbbCommands.Run("completions", "bash").Out);
        // As bash splits a line: what is before the cursor, and the word under it.
        var typed = line.Split(' ');
        var probe = $"""
            set -u
            source {script}
            complete -p qbb
            COMP_WORDS=({string.Join(' ', typed.Select(word => $"'{word}'"))}); COMP_CWORD={typed.Length - 1}
            _qbb qbb '{typed[^1]}' '{typed[^2]}'
            printf '%s\n' ${"{COMPREPLY[@]+\"${COMPREPLY[@]}\"}"}
            """;
        var (code, output, error) = Shell("bash", probe);
        code.ShouldBe(0, error);
        error.ShouldBeEmpty();
        var lines = output.TrimEnd('\n').Split('\n');
        lines[0].ShouldContain("-F _qbb qbb");
        var found = lines.Skip(1).Where(word => word.Length > 0).Order(StringComparer.Ordinal).ToList();
        if (words.Contains("ls"))
            words.ShouldBeSubsetOf(found);
        else
            found.ShouldBe(words);
    }

    [Theory]
    [InlineData("zsh", "-n")]
    [InlineData("fish", "--no-execute")]
    public void Other_shells_can_read_their_scripts(string shell, string check)
    {
        var script = QbbCommands.Run("completions", shell).Out;
        script.ShouldContain("quantize");
        script.ShouldContain(shell == "zsh" ? "\"quantize:--init\") compadd -- cascaded random" : "-l init -x -a 'cascaded random");
        Assert.SkipUnless(Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(path => File.Exists(Path.Combine(path, shell))), $"{shell} is not installed");
        using var folder = new TemporaryFolder();
        var (code, _, error) = Shell(shell, null, check, folder.Write("completions", script));
        code.ShouldBe(0, error);
        error.ShouldBeEmpty();
    }

    [Fact]
    public void Text_comes_from_standard_input()
    {
        using var folder = new TemporaryFolder();
        var text = string.Concat(Enumerable.Repeat("the cat sat on the mat by the river and the dog ran ", 30));
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "qbb.dll"), "eval", s_model, "--text", "-", "--context", "32", "--windows", "2", "--json"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        using var process = Process.Start(start)!;
        process.StandardInput.Write(text);
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEnd();
        var same = QbbCommands.Run("eval", s_model, "--text", folder.Write("text", text), "--context", "32", "--windows", "2", "--json").Json;
        System.Text.Json.Nodes.JsonNode.Parse(output)!["perplexity"]!.GetValue<double>().ShouldBe((double)same["perplexity"]!);
    }

    private static (int Code, string Out, string Error) Shell(string shell, string? input, params string[] arguments)
    {
        var start = new ProcessStartInfo(shell, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }
}

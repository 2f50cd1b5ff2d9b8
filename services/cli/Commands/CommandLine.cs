using System.CommandLine;

namespace Qbb.Cli.Commands;

/// <summary>The <c>qbb</c> command: exit code 0 done, 1 failed, 2 the input is at fault, 130 cancelled.</summary>
public static class CommandLine
{
    public static Task<int> RunAsync(string[] args) => RunAsync(args, Root(),
        "qbb quantize MODEL -o OUT --bases 3 --group 128",
        "qbb eval OUT --teacher MODEL --text wiki.test.raw",
        "qbb up",
        "qbb push MODEL --name tiny",
        "qbb watch tiny",
        "qbb pull tiny@champion -o OUT",
        "qbb COMMAND --help");

    /// <summary>The same for another program's commands.</summary>
    /// <param name="args">As they were given.</param>
    /// <param name="root">The commands.</param>
    /// <param name="examples">For the program's help.</param>
    public static async Task<int> RunAsync(string[] args, RootCommand root, params string[] examples)
    {
        ExamplesHelp.Apply(root, examples);
        var parsed = root.Parse(args);
        var code = await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeSpan.FromSeconds(30) });
        return parsed.Errors.Count > 0 ? ExitCode.InvalidInput : code;
    }

    private static RootCommand Root() =>
        new("Quantizes language models into sums of binary matrices (QBB), and scores them.")
        {
            new QuantizeCommand(),
            new EvalCommand(),
            new CompareCommand(),
            new InspectCommand(),
            new GenerateCommand(),
            new ExportCommand(),
            new SampleCommand(),
            new FilterCommand(),
            new DistillCommand(),
            new UpCommand(),
            new PushCommand(),
            new WatchCommand(),
            new PullCommand(),
            new TokenizeCommand(),
            new LogitsCommand(),
        };
}

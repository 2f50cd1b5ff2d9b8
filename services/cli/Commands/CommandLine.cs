using System.CommandLine;

namespace Qbb.Cli.Commands;

/// <summary>The <c>qbb</c> command: exit code 0 done, 1 failed, 2 the input is at fault, 130 cancelled.</summary>
public static class CommandLine
{
    public static async Task<int> RunAsync(string[] args)
    {
        var parsed = Root().Parse(args);
        var code = await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeSpan.FromSeconds(30) });
        return parsed.Errors.Count > 0 ? ExitCode.InvalidInput : code;
    }

    private static RootCommand Root()
    {
        var root = new RootCommand("Quantizes language models into sums of binary matrices (QBB), and scores them.")
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
            new TrainCommand { Hidden = true },
            new BenchCommand { Hidden = true },
        };
        ExamplesHelp.Apply(root);
        return root;
    }
}

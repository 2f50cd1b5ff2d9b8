using System.CommandLine;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Commands;

/// <summary>A program's commands.</summary>
/// <param name="program">What people type; the library would take the process's name.</param>
/// <param name="description">For its help.</param>
/// <param name="clock">By which requests are retried; null for the system's.</param>
public sealed class ProgramCommand(string program, string description, TimeProvider? clock = null) : RootCommand(description)
{
    public string Program => program;

    public TimeProvider Clock => clock ?? TimeProvider.System;
}

/// <summary>The <c>qbb</c> command: exit code 0 done, 1 failed, 2 the input is at fault, 130 cancelled.</summary>
public static class CommandLine
{
    public static Task<int> RunAsync(string[] args, TimeProvider? clock = null) => RunAsync(args, Root(clock),
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
    public static async Task<int> RunAsync(string[] args, ProgramCommand root, params string[] examples)
    {
        root.Add(new HelpCommand(root, examples));
        root.Add(new CompletionsCommand(root));
        CommandHelp.Apply(root, examples);
        OptionModel.SpellValues(root);
        OptionModel.ReadOnlyWhatParses(root);
        var parsed = root.Parse(args);
        // --help after a command that exists explains it, whatever else is wrong.
        if (Failure.Of(parsed) is { } failure && (parsed.Action is not CommandHelp || parsed.CommandResult.Command.Subcommands.Count > 0 && parsed.UnmatchedTokens.Count > 0))
            return new Output(args.Contains(AsyncCommand.JsonOption)).Fail(failure);
        return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeSpan.FromSeconds(30) });
    }

    internal static ProgramCommand Root(TimeProvider? clock = null) =>
        new("qbb", "Quantizes language models into sums of binary matrices (QBB), and scores them.", clock)
        {
            new QuantizeCommand(),
            new EvalCommand(),
            new CompareCommand(),
            new InspectCommand(),
            new GenerateCommand(),
            new ChatCommand(),
            new ServeCommand(),
            new ExportCommand(),
            new SampleCommand(),
            new FilterCommand(),
            new DistillCommand(),
            new UpCommand(),
            new PushCommand(),
            new WatchCommand(),
            new PullCommand(),
            new VerifyCommand(),
            new ListCommand(),
            new ShowCommand(),
            new RemoveCommand(),
            new TagCommand(),
            new AliasCommand(),
            new PolicyCommand(),
            new CancelCommand(),
            new RetryCommand(),
            new TokenizeCommand(),
            new LogitsCommand(),
        };
}

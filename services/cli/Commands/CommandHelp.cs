using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Commands;

/// <summary>The help of a command: usage, arguments, options by group with their values and defaults, examples.</summary>
internal sealed class CommandHelp(IReadOnlyList<string> examples) : SynchronousCommandLineAction
{
    private const int MostNameWidth = 34;
    private const int UsualWidth = 100;

    public static void Apply(ProgramCommand root, IReadOnlyList<string> examples) =>
        root.Options.OfType<HelpOption>().Single().Action = new CommandHelp(examples);

    public override bool ClearsParseErrors => true;

    /// <summary>qbb quantize.</summary>
    public static string NameOf(Command command) => command is ProgramCommand root ? root.Program
        : command.Parents.OfType<Command>().FirstOrDefault() is { } parent ? $"{NameOf(parent)} {command.Name}" : command.Name;

    /// <summary>qbb quantize MODEL --output FOLDER [options].</summary>
    public static string UsageOf(Command command)
    {
        List<string> parts = [NameOf(command)];
        if (command.Subcommands.Count > 0)
            parts.Add(command.Action is null ? "COMMAND" : "[COMMAND]");
        parts.AddRange(command.Arguments.Select(argument => (argument.Arity.MinimumNumberOfValues, argument.Arity.MaximumNumberOfValues) switch
        {
            (0, 1) => $"[{argument.Name}]",
            (0, _) => $"[{argument.Name}…]",
            (_, 1) => argument.Name,
            _ => $"{argument.Name}…",
        }));
        parts.AddRange(command.Options.Where(option => option.Required).Select(option => $"{option.Name} {OptionModel.ValueOf(option)}"));
        parts.Add("[options]");
        return string.Join(' ', parts);
    }

    public override int Invoke(ParseResult parsed)
    {
        Write(parsed.CommandResult.Command, parsed.InvocationConfiguration.Output);
        return ExitCode.Done;
    }

    public void Write(Command command, TextWriter output)
    {
        output.WriteLine(command.Description);
        output.WriteLine();
        output.WriteLine($"Usage: {UsageOf(command)}");
        Section(output, "Arguments", command.Arguments.Select(argument => (argument.Name, argument.Description ?? "")));
        Section(output, "Commands", command.Subcommands.Select(inner => (inner.Name, inner.Description ?? "")));
        var groups = command.Options.Where(option => option is not HelpOption and not VersionOption && !option.Hidden)
            .GroupBy(option => OptionModel.GroupOf(command, option)).OrderBy(group => OptionModel.OrderOf(group.Key));
        foreach (var group in groups)
            Section(output, group.Key, group.OrderBy(option => option.Name == AsyncCommand.JsonOption).Select(Row));
        if ((command is ProgramCommand ? examples : (command as AsyncCommand)?.Examples ?? []) is not { Count: > 0 } shown)
            return;
        output.WriteLine();
        output.WriteLine("Examples:");
        foreach (var example in shown)
            output.WriteLine("  " + example);
    }

    private static (string Name, string Text) Row(Option option)
    {
        var names = string.Join(", ", option.Aliases.Order(StringComparer.Ordinal).Append(option.Name));
        var value = OptionModel.ValueOf(option);
        var isOptional = option.Arity.MinimumNumberOfValues == 0;
        var name = value is null ? names : isOptional ? $"{names}[={value}]" : $"{names} {value}{(option.AllowMultipleArgumentsPerToken ? "…" : "")}";
        var text = option.Description ?? "";
        if (option.Required)
            text += " Required.";
        return (name, OptionModel.DefaultOf(option) is { } standard ? $"{text} Default: {standard}." : text);
    }

    private static void Section(TextWriter output, string title, IEnumerable<(string Name, string Text)> entries)
    {
        var rows = entries.ToList();
        if (rows.Count == 0)
            return;
        output.WriteLine();
        output.WriteLine($"{title}:");
        var column = Math.Min(MostNameWidth, rows.Max(row => row.Name.Length)) + 4;
        foreach (var (name, text) in rows)
        {
            var lines = Wrap(text, Width() - column);
            var start = $"  {name}";
            if (start.Length + 2 > column)
            {
                output.WriteLine(start);
                start = "";
            }
            foreach (var line in lines)
            {
                output.WriteLine($"{start.PadRight(column)}{line}".TrimEnd());
                start = "";
            }
        }
    }

    private static List<string> Wrap(string text, int width)
    {
        List<string> lines = [""];
        foreach (var word in text.Split(' '))
        {
            if (lines[^1].Length > 0 && lines[^1].Length + 1 + word.Length > width)
                lines.Add(word);
            else
                lines[^1] = lines[^1].Length == 0 ? word : $"{lines[^1]} {word}";
        }
        return lines;
    }

    private static int Width()
    {
        try
        {
            return Console.IsOutputRedirected || Console.WindowWidth < 60 ? UsualWidth : Math.Min(Console.WindowWidth - 1, 120);
        }
        catch (IOException)
        {
            return UsualWidth;
        }
    }
}

/// <summary><c>qbb help COMMAND</c>: as <c>qbb COMMAND --help</c>.</summary>
internal sealed class HelpCommand : Command
{
    private readonly Argument<string[]> _names = new("COMMAND") { Description = "The command to explain; none for all commands.", Arity = ArgumentArity.ZeroOrMore };

    public HelpCommand(ProgramCommand root, IReadOnlyList<string> examples) : base("help", "Shows the help of a command.")
    {
        Arguments.Add(_names);
        _names.CompletionSources.Add(_ => root.Subcommands.Select(command => new CompletionItem(command.Name)));
        SetAction(parsed =>
        {
            Command command = root;
            foreach (var name in parsed.GetValue(_names) ?? [])
            {
                if (command.Subcommands.FirstOrDefault(inner => inner.Name == name) is not { } inner)
                    return new Output(json: false).Fail(Failure.Of(root.Parse([name]))!);
                command = inner;
            }
            new CommandHelp(examples).Write(command, parsed.InvocationConfiguration.Output);
            return ExitCode.Done;
        });
    }
}

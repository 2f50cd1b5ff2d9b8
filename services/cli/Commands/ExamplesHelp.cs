using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Qbb.Cli.Commands;

/// <summary>The library's help, followed by the command's examples.</summary>
internal sealed class ExamplesHelp(HelpAction standard, IReadOnlyList<string> examples) : SynchronousCommandLineAction
{
    public static void Apply(RootCommand root, IReadOnlyList<string> examples)
    {
        var option = root.Options.OfType<HelpOption>().Single();
        option.Action = new ExamplesHelp((HelpAction)option.Action!, examples);
    }

    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parsed)
    {
        var code = standard.Invoke(parsed);
        var output = parsed.InvocationConfiguration.Output;
        var shown = parsed.CommandResult.Command switch { QbbCommand command => command.Examples, RootCommand => examples, _ => [] };
        if (shown.Count > 0)
            output.WriteLine("Examples:");
        foreach (var example in shown)
            output.WriteLine("  " + example);
        return code;
    }
}

using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Qbb.Cli.Commands;

/// <summary>The library's help, followed by the command's examples.</summary>
internal sealed class ExamplesHelp(HelpAction standard) : SynchronousCommandLineAction
{
    public static void Apply(RootCommand root)
    {
        var option = root.Options.OfType<HelpOption>().Single();
        option.Action = new ExamplesHelp((HelpAction)option.Action!);
    }

    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parsed)
    {
        var code = standard.Invoke(parsed);
        var output = parsed.InvocationConfiguration.Output;
        if (parsed.CommandResult.Command is AsyncCommand { Examples.Count: > 0 } command)
        {
            output.WriteLine("Examples:");
            foreach (var example in command.Examples)
                output.WriteLine("  " + example);
        }
        else if (parsed.CommandResult.Command is RootCommand)
        {
            output.WriteLine("Examples:");
            output.WriteLine("  qbb quantize MODEL -o OUT --bases 3 --group 128");
            output.WriteLine("  qbb eval OUT --teacher MODEL --text wiki.test.raw");
            output.WriteLine("  qbb up");
            output.WriteLine("  qbb push MODEL --name tiny");
            output.WriteLine("  qbb watch tiny");
            output.WriteLine("  qbb pull tiny@champion -o OUT");
            output.WriteLine("  qbb COMMAND --help");
        }
        return code;
    }
}

using Qbb.Cli.Commands;
using Qbb.Cli.Tests;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>The command inside the test, which spares a process; for commands that need no libtorch. No other test writes to the console meanwhile.</summary>
internal static class Command
{
    public static QbbProcess.Result Run(params string[] arguments)
    {
        var (own, ownError) = (Console.Out, Console.Error);
        using StringWriter output = new(), error = new();
        try
        {
            Console.SetOut(output);
            Console.SetError(error);
            var code = Task.Run(() => CommandLine.RunAsync(arguments)).GetAwaiter().GetResult();
            return new QbbProcess.Result(code, output.ToString(), error.ToString());
        }
        finally
        {
            Console.SetOut(own);
            Console.SetError(ownError);
        }
    }

    /// <summary>The same of a command that must not fail.</summary>
    public static QbbProcess.Result Done(params string[] arguments)
    {
        var result = Run(arguments);
        result.Code.ShouldBe(0, result.Error);
        return result;
    }
}

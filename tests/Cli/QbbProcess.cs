using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Qbb.Cli.Tests;

/// <summary>Runs the command as a user does: a process of its own, judged by exit code, stdout and stderr.</summary>
internal static class QbbProcess
{
    public sealed record Result(int Code, string Out, string Error)
    {
        /// <summary>stdout must be one JSON object and nothing else.</summary>
        public JsonObject Json => JsonNode.Parse(Out)!.AsObject();
    }

    public static Result Run(params string[] arguments) => Ended(Start(arguments));

    /// <summary>The same with environment variables.</summary>
    public static Result RunWith(IEnumerable<(string Name, string Value)> variables, params string[] arguments) => Ended(Start("qbb.dll", arguments, variables));

    /// <summary>The same with a text on stdin.</summary>
    public static Result RunWithInput(string input, params string[] arguments)
    {
        var process = Start("qbb.dll", arguments, input: true);
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        return Ended(process);
    }

    /// <summary>The same of <c>qbb-bench</c>, for projects that refer to it.</summary>
    public static Result Bench(params string[] arguments) => Ended(Start("qbb-bench.dll", arguments));

    public static Process Start(params string[] arguments) => Start("qbb.dll", arguments);

    /// <summary>The same with environment variables.</summary>
    public static Process StartWith(IEnumerable<(string Name, string Value)> variables, params string[] arguments) => Start("qbb.dll", arguments, variables);

    private static Result Ended(Process started)
    {
        using var process = started;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit(120_000).ShouldBeTrue();
        return new Result(process.ExitCode, output, error.Result);
    }

    private static Process Start(string program, string[] arguments, IEnumerable<(string Name, string Value)>? variables = null, bool input = false)
    {
        var info = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = input };
        info.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, program));
        foreach (var argument in arguments)
            info.ArgumentList.Add(argument);
        foreach (var (name, value) in variables ?? [])
            info.Environment[name] = value;
        return Process.Start(info)!;
    }
}

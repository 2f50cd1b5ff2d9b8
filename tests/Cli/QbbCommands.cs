using System.Text;
using Qbb.Cli.Commands;

namespace Qbb.Cli.Tests;

/// <summary>Runs the command in the test's own process, many at once: what each says is kept apart by the flow of its calls.</summary>
internal static class QbbCommands
{
    private static readonly Routed s_out = new(Console.Out);
    private static readonly Routed s_error = new(Console.Error);

    static QbbCommands()
    {
        Console.SetOut(s_out);
        Console.SetError(s_error);
    }

    // Apart from the runner's threads: a few that all wait would leave none to go on.
    public static QbbProcess.Result Run(params string[] arguments) => Task.Run(() => RunAsync(arguments)).GetAwaiter().GetResult();

    public static Task<QbbProcess.Result> RunAsync(params string[] arguments) => RunAsync(TimeProvider.System, arguments);

    /// <summary>The same with a clock of the test's, by which requests are retried.</summary>
    public static async Task<QbbProcess.Result> RunAsync(TimeProvider clock, params string[] arguments)
    {
        using var output = s_out.Capture();
        using var error = s_error.Capture();
        var code = await CommandLine.RunAsync(arguments, clock);
        return new QbbProcess.Result(code, $"{output}", $"{error}");
    }

    /// <summary>Writes to what the current flow captures; without a capture to where it went before.</summary>
    private sealed class Routed(TextWriter before) : TextWriter
    {
        private readonly AsyncLocal<TextWriter?> _captured = new();

        private TextWriter Target => _captured.Value ?? before;

        public override Encoding Encoding => before.Encoding;

        public TextWriter Capture() => _captured.Value = new StringWriter();

        public override void Write(char value) => Target.Write(value);

        public override void Write(char[] buffer, int index, int count) => Target.Write(buffer, index, count);

        public override void Write(string? value) => Target.Write(value);

        public override void WriteLine(string? value) => Target.WriteLine(value);

        public override void Flush() => Target.Flush();
    }
}

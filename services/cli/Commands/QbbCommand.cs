using System.CommandLine;
using Qbb.Checkpoints;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Commands;

/// <summary>A command that computes: it keeps its thread busy until it ends, so there is nothing to await.</summary>
internal abstract class QbbCommand(string name, string description, params string[] examples) : AsyncCommand(name, description, examples)
{
    protected abstract void Run(ParseResult parsed, Output output, CancellationToken cancel);

    protected sealed override Task RunAsync(ParseResult parsed, Output output, CancellationToken cancel)
    {
        Run(parsed, output, cancel);
        return Task.CompletedTask;
    }
}

/// <summary>A command with examples in its help, <c>--json</c>, and one place that turns errors into exit codes.</summary>
internal abstract class AsyncCommand : Command
{
    public const string JsonOption = "--json";

    private readonly Option<bool> _json = new(JsonOption) { Description = "Print one JSON object on stdout and nothing else; of a failure code, message, remedy and exitCode." };

    protected AsyncCommand(string name, string description, params string[] examples) : base(name, description)
    {
        Examples = examples;
        Options.Add(_json);
        SetAction((parsed, cancel) => Task.Run(() => GuardedAsync(parsed, cancel), CancellationToken.None));
    }

    public IReadOnlyList<string> Examples { get; }

    /// <summary>What stays done where the registry is lost in the middle.</summary>
    protected virtual string Kept => "changes made so far are kept";

    protected abstract Task RunAsync(ParseResult parsed, Output output, CancellationToken cancel);

    private async Task<int> GuardedAsync(ParseResult parsed, CancellationToken cancel)
    {
        var output = new Output(parsed.GetValue(_json));
        try
        {
            using var heard = ModelWarnings.Listen(output.Warning);
            await RunAsync(parsed, output, cancel);
            return ExitCode.Done;
        }
        catch (Exception error)
        {
            return output.Fail(error is RegistryLostException lost ? Failure.Of(lost, Kept, parsed) : Failure.Of(error, this));
        }
    }
}

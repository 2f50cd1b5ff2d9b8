using System.Runtime.InteropServices;
using Qbb.Cuda;
using System.CommandLine;
using Qbb.Checkpoints;
using Qbb.Cli.Registry;
using Qbb.Cli.Terminal;
using Qbb.Models;

namespace Qbb.Cli.Commands;

/// <summary>A command with examples in its help, <c>--json</c>, and one place that turns errors into exit codes.</summary>
internal abstract class QbbCommand : Command
{
    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object on stdout and nothing else." };

    protected QbbCommand(string name, string description, params string[] examples) : base(name, description)
    {
        Examples = examples;
        Options.Add(_json);
        SetAction((parsed, cancel) => Task.Run(() => Guarded(parsed, cancel), CancellationToken.None));
    }

    public IReadOnlyList<string> Examples { get; }

    protected abstract void Run(ParseResult parsed, Output output, CancellationToken cancel);

    private int Guarded(ParseResult parsed, CancellationToken cancel)
    {
        var output = new Output(parsed.GetValue(_json));
        try
        {
            using var heard = ModelWarnings.Listen(output.Warning);
            Run(parsed, output, cancel);
            return ExitCode.Done;
        }
        catch (OperationCanceledException)
        {
            output.Error("cancelled");
            return ExitCode.Cancelled;
        }
        catch (Exception e) when (e is InvalidInputException or TorchUnavailableException)
        {
            output.Error(e.Message);
            return ExitCode.InvalidInput;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            output.Error(e.Message);
            return ExitCode.InvalidInput;
        }
        catch (Exception e) when (e is TorchException or ExternalException or CudaException or PipelineFailedException)
        {
            output.Error(e.Message);
            return ExitCode.Failed;
        }
    }
}

using System.CommandLine;
using System.CommandLine.Parsing;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Qbb.Cli.Commands;
using Qbb.Cli.Registry;
using Qbb.Cuda;

namespace Qbb.Cli.Terminal;

/// <summary>Options that are each right and do not go together.</summary>
internal sealed class UsageException(string message) : InvalidInputException(message);

/// <summary>Why a command failed, for people (lines on stderr) and for programs (one object).</summary>
/// <param name="Code">usage, invalid-input, registry-refused, registry-away, registry-lost, pipeline-failed, verification-failed, failed, internal or cancelled.</param>
/// <param name="ExitCode">One of <see cref="Commands.ExitCode"/>.</param>
/// <param name="Message">What is wrong.</param>
/// <param name="Remedy">What to do about it.</param>
/// <param name="More">Further lines for people.</param>
internal sealed partial record Failure(string Code, int ExitCode, string Message, string Remedy, params string[] More)
{
    private const string TraceVariable = "QBB_TRACE";

    public JsonObject ToJson() => new()
    {
        ["code"] = Code,
        ["message"] = Message,
        ["remedy"] = Remedy,
        ["exitCode"] = ExitCode,
    };

    public static Failure Of(Exception error, Command command) => error switch
    {
        OperationCanceledException => new("cancelled", Commands.ExitCode.Cancelled, "cancelled", "run the same command again"),
        UsageException => Usage(error.Message, command, null),
        RegistryRefusedException refused => Invalid("registry-refused", refused, command),
        RegistryAwayException away => Invalid("registry-away", away, command),
        InvalidInputException or TorchUnavailableException or IOException or UnauthorizedAccessException => Invalid("invalid-input", error, command),
        PipelineFailedException failed => new("pipeline-failed", Commands.ExitCode.Failed, failed.Message, failed.Remedy),
        VerificationFailedException failed => new("verification-failed", Commands.ExitCode.Failed, failed.Message, failed.Remedy),
        TorchException or ExternalException or CudaException =>
            new("failed", Commands.ExitCode.Failed, error.Message, "try a smaller batch or context, or --device cpu"),
        _ => Internal(error),
    };

    /// <summary>A registry that stopped answering: what is kept, and the command that resumes.</summary>
    public static Failure Of(RegistryLostException lost, string kept, ParseResult parsed)
    {
        var resume = string.Join(' ', parsed.Tokens.Select(token => Quoted(token.Value)).Prepend(CommandHelp.NameOf(parsed.RootCommandResult.Command)));
        return new("registry-lost", Commands.ExitCode.Failed, $"{lost.Message}; {kept}: {resume}  resumes", resume);
    }

    private static string Quoted(string text) => Plain().IsMatch(text) ? text : $"'{text.Replace("'", @"'\''")}'";

    [GeneratedRegex(@"\A[A-Za-z0-9_@%+=:,./-]+\z")]
    private static partial Regex Plain();

    /// <summary>What the parser refused; null if it refused nothing.</summary>
    public static Failure? Of(ParseResult parsed)
    {
        var command = parsed.CommandResult.Command;
        // The parser takes an unknown option for an argument where one fits.
        var dashed = parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(argument => argument.Tokens).Select(token => token.Value)
            .Concat(parsed.UnmatchedTokens).FirstOrDefault(token => token.Length > 1 && token[0] == '-' && !char.IsAsciiDigit(token[1]));
        if (dashed is not null && parsed.Tokens.All(token => token.Type != TokenType.DoubleDash))
            return Usage($"unknown option {dashed}", command, Nearest(dashed, command.Options.Where(option => !option.Hidden).SelectMany(option => (string[])[option.Name, .. option.Aliases])));
        if (command.Subcommands.Count > 0 && parsed.UnmatchedTokens is [var unknown, ..])
            return Usage($"unknown command {unknown}", command, Nearest(unknown, command.Subcommands.Select(other => other.Name)));
        return parsed.Errors.Count == 0 ? null
            : Usage(string.Join("; ", parsed.Errors.Select(Said).Distinct()), command, null);
    }

    /// <summary>An error of the parser on one line, with the option that it leaves out.</summary>
    private static string Said(ParseError error)
    {
        var said = string.Join(' ', error.Message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)).TrimEnd('.');
        if (Unlisted().Match(said) is { Success: true } choice && (error.SymbolResult as OptionResult ?? error.SymbolResult?.Parent as OptionResult) is { } option)
            return $"{option.Option.Name} is '{choice.Groups["value"]}': give {choice.Groups["known"].Value.Replace("' '", ", ", StringComparison.Ordinal)}";
        return said;
    }

    [GeneratedRegex(@"\AArgument '(?<value>.*)' not recognized\. Must be one of: '(?<known>.*)'\z")]
    private static partial Regex Unlisted();

    /// <summary>Three lines: what is wrong, the nearest name or the usage, and where the help is.</summary>
    public static Failure Usage(string message, Command command, string? nearest)
    {
        var help = $"{CommandHelp.NameOf(command)} --help";
        var hint = nearest is null ? $"usage: {CommandHelp.UsageOf(command)}" : $"did you mean {nearest}?";
        return new("usage", Commands.ExitCode.InvalidInput, message, nearest is null ? help : hint, hint, $"help:  {help}");
    }

    private static Failure Invalid(string code, Exception error, Command command) => new(
        code, Commands.ExitCode.InvalidInput, error.Message, (error as InvalidInputException)?.Remedy ?? $"see {CommandHelp.NameOf(command)} --help");

    private static Failure Internal(Exception error) => new(
        "internal", Commands.ExitCode.Failed, $"qbb itself failed ({error.GetType().Name}: {error.Message})",
        $"report it with the command line and what {TraceVariable}=1 adds",
        Environment.GetEnvironmentVariable(TraceVariable) is null ? $"report it with the command line; {TraceVariable}=1 adds where it happened" : $"{error}");

    /// <summary>The name with the fewest edits; null if none is near.</summary>
    private static string? Nearest(string text, IEnumerable<string> names)
    {
        var near = names.Select(name => (Name: name, Edits: name.StartsWith(text, StringComparison.Ordinal) ? 1 : Edits(text, name))).MinBy(name => name.Edits);
        return near.Name is not null && near.Edits <= Math.Max(2, text.Length / 3) ? near.Name : null;
    }

    private static int Edits(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (var i = 1; i <= a.Length; i++)
        {
            var (diagonal, left) = (row[0], row[0] = i);
            for (var j = 1; j <= b.Length; j++)
                (diagonal, left) = (row[j], row[j] = Math.Min(Math.Min(row[j], left) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)));
        }
        return row[^1];
    }
}

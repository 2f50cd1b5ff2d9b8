using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Spectre.Console;

namespace Qbb.Cli.Terminal;

/// <summary>Where a command speaks: results on stdout, for people or as one JSON object; progress and errors on stderr.</summary>
internal sealed class Output(bool json)
{
    private static readonly JsonSerializerOptions s_json = new()
    {
        WriteIndented = false,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    private readonly List<string> _warnings = [];

    public bool Json => json;

    /// <summary>Console of stderr, for progress.</summary>
    public IAnsiConsole Status { get; } = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });

    /// <summary>Whether bars can be drawn.</summary>
    public bool IsInteractive => Status.Profile.Capabilities.Interactive && !Console.IsErrorRedirected;

    /// <summary>Console of stdout, for tables.</summary>
    public IAnsiConsole Screen { get; } = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Out) });

    /// <summary>Gives the result: the object with --json, else what <paramref name="people"/> writes.</summary>
    public void Result(JsonObject value, Action<IAnsiConsole> people)
    {
        if (_warnings.Count > 0)
            value["warnings"] = new JsonArray([.. _warnings.Select(warning => (JsonNode)warning)]);
        if (json)
            Console.Out.WriteLine(value.ToJsonString(s_json));
        else
            people(Screen);
    }

    /// <summary>The same, where what people see takes further requests.</summary>
    public Task ResultAsync(JsonObject value, Func<IAnsiConsole, Task> people)
    {
        if (!json)
            return people(Screen);
        Result(value, _ => { });
        return Task.CompletedTask;
    }

    /// <summary>Tells of a failure: on stderr, with --json as the one object on stdout too; gives the exit code.</summary>
    public int Fail(Failure failure)
    {
        Console.Error.WriteLine($"error: {failure.Message}");
        foreach (var line in failure.More)
            Console.Error.WriteLine(line);
        if (json)
            Result(failure.ToJson(), _ => { });
        return failure.ExitCode;
    }

    /// <summary>Tells what goes on, above the bars where there are any.</summary>
    public void Note(string message)
    {
        if (IsInteractive)
            Status.WriteLine(message);
        else
            Console.Error.WriteLine(message);
    }

    /// <summary>On stderr at once; with --json in the result's <c>warnings</c> too.</summary>
    public void Warning(string message)
    {
        lock (_warnings)
            _warnings.Add(message);
        Console.Error.WriteLine("warning: " + message);
    }
}

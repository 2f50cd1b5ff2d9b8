using System.Text;
using System.Text.Json.Nodes;

namespace Qbb.Inference.Templates;

/// <summary>What a template may use up: it comes with a model, from strangers.</summary>
/// <param name="Steps">Nodes that are evaluated.</param>
/// <param name="Depth">Blocks, macros and expressions in one another.</param>
/// <param name="Characters">Of the output, and of every string on the way there.</param>
public sealed record TemplateLimits(int Steps = 2_000_000, int Depth = 200, int Characters = 4 << 20);

/// <summary>A template that cannot be read or rendered.</summary>
public sealed class TemplateException(string problem, int? line = null) : InvalidInputException($"the chat template{(line is null ? "" : $", line {line}")}: {problem}")
{
    /// <summary>Line of the template, from 1; null if it is not known.</summary>
    public int? Line { get; } = line;
}

/// <summary>The template refuses a conversation by raise_exception.</summary>
public sealed class TemplateRefusedException(string reason) : InvalidInputException($"the model's chat template refuses the conversation: {reason}");

/// <summary>
/// A chat template: Jinja as transformers renders it (trim_blocks, lstrip_blocks, loop controls, generation blocks, tojson without HTML escapes,
/// raise_exception, strftime_now, nothing that changes what is passed in). What it does not know is refused by name.
/// </summary>
public sealed class ChatTemplate
{
    private readonly Block _body;

    private ChatTemplate(Block body) => _body = body;

    /// <exception cref="TemplateException">The text is not a template, or uses what is not known here.</exception>
    public static ChatTemplate Parse(string source) => new(new Parser(Lexer.Read(source)).ParseAll());

    /// <summary>Renders a conversation.</summary>
    /// <param name="messages">Objects with role and content.</param>
    /// <param name="addGenerationPrompt">Whether the answer's beginning follows.</param>
    /// <param name="variables">What the template may use besides: bos_token, eos_token, tools and others.</param>
    /// <param name="clock">For strftime_now; null for the system's.</param>
    /// <param name="limits">Null for the defaults.</param>
    /// <exception cref="TemplateException">Something is undefined, of the wrong type, or beyond the limits.</exception>
    /// <exception cref="TemplateRefusedException">The template refuses the conversation.</exception>
    public string Render(JsonArray messages, bool addGenerationPrompt, IReadOnlyDictionary<string, JsonNode?>? variables = null, TimeProvider? clock = null, TemplateLimits? limits = null)
    {
        var context = new RenderContext(clock ?? TimeProvider.System, limits ?? new());
        var globals = context.Scope;
        foreach (var (name, value) in variables ?? new Dictionary<string, JsonNode?>())
            globals.Set(name, JsonValues.Read(value));
        globals.Set("messages", JsonValues.Read(messages));
        globals.Set("add_generation_prompt", addGenerationPrompt);
        _body.Run(context);
        return $"{context.Output}";
    }
}

/// <summary>The state of a rendering.</summary>
internal sealed class RenderContext
{
    private readonly TemplateLimits _limits;
    private int _steps;
    private int _depth;

    public RenderContext(TimeProvider clock, TemplateLimits limits)
    {
        (Clock, _limits) = (clock, limits);
        Scope = new(null);
        Builtins.AddTo(Scope);
    }

    public TimeProvider Clock { get; }

    public Scope Scope { get; private set; }

    public StringBuilder Output { get; private set; } = new();

    /// <summary>The output of the block whose filters are at work.</summary>
    public string Captured { get; set; } = "";

    /// <summary>Counts a step and checks the depth, until the result is disposed.</summary>
    public Level Enter(int line)
    {
        if (++_steps > _limits.Steps)
            throw new TemplateException($"takes more than {_limits.Steps} steps", line);
        if (++_depth > _limits.Depth)
            throw new TemplateException($"goes more than {_limits.Depth} levels deep", line);
        return new(this);
    }

    public void Write(string text, int line)
    {
        Check(Output.Length + text.Length, line);
        Output.Append(text);
    }

    /// <summary>Refuses a string that is too long, before it is made.</summary>
    public void Check(long characters, int line)
    {
        if (characters > _limits.Characters)
            throw new TemplateException($"makes a text of more than {_limits.Characters} characters", line);
    }

    /// <summary>The string, unless it is too long.</summary>
    public string Checked(string text, int line)
    {
        Check(text.Length, line);
        return text;
    }

    public void Within(Scope scope, Action work)
    {
        var before = Scope;
        Scope = scope;
        try
        {
            work();
        }
        finally
        {
            Scope = before;
        }
    }

    /// <summary>What the work writes.</summary>
    public string Capture(Action work)
    {
        var before = Output;
        Output = new();
        try
        {
            work();
            return $"{Output}";
        }
        finally
        {
            Output = before;
        }
    }

    public readonly struct Level(RenderContext context) : IDisposable
    {
        public void Dispose() => context._depth--;
    }
}

/// <summary>Names and what they stand for, in a block and those around it.</summary>
internal sealed class Scope(Scope? around)
{
    private readonly Dictionary<string, object?> _values = new(StringComparer.Ordinal);

    public object? Get(string name) => _values.TryGetValue(name, out var value) ? value : around is null ? Undefined.Of(name) : around.Get(name);

    public void Set(string name, object? value) => _values[name] = value;
}

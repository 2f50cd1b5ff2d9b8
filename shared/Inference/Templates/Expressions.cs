namespace Qbb.Inference.Templates;

internal abstract class Expression(int line)
{
    public int Line => line;

    public abstract object? Evaluate(RenderContext context);

    protected TemplateException Error(string problem) => new(problem, line);
}

internal sealed class Literal(object? value, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context) => value;
}

internal sealed class Name(string name, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context) => context.Scope.Get(name);
}

/// <summary>What the block wrote whose filters follow.</summary>
internal sealed class Captured(int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context) => context.Captured;
}

internal sealed class SequenceNode(IReadOnlyList<Expression> items, bool isTuple, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context)
    {
        using var level = context.Enter(Line);
        return new Sequence([.. items.Select(item => item.Evaluate(context))], isTuple);
    }
}

internal sealed class MappingNode(IReadOnlyList<(Expression Key, Expression Value)> entries, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context)
    {
        using var level = context.Enter(Line);
        var mapping = new Mapping();
        foreach (var (key, value) in entries)
            mapping.Set(key.Evaluate(context), value.Evaluate(context), Line);
        return mapping;
    }
}

/// <summary>target.name or target[key]; the former looks for methods first, as Jinja does.</summary>
internal sealed class Member(Expression target, Expression key, bool isDotted, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context)
    {
        using var level = context.Enter(Line);
        var (value, name) = (target.Evaluate(context), key.Evaluate(context));
        if (value is Undefined undefined)
            throw Error($"{undefined.Name} is undefined");
        return isDotted ? Members.Dotted(value, (string)name!) : Members.Indexed(value, name);
    }
}

internal sealed class Slice(Expression target, Expression? from, Expression? to, Expression? step, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context)
    {
        using var level = context.Enter(Line);
        long? Part(Expression? part) => part?.Evaluate(context) switch
        {
            null => null,
            long number => number,
            bool flag => flag ? 1 : 0,
            var other => throw Error($"a slice takes integers, not {Values.TypeOf(other)}"),
        };
        var (value, start, stop, stride) = (target.Evaluate(context), Part(from), Part(to), Part(step) ?? 1);
        if (stride == 0)
            throw Error("the step of a slice is 0");
        return value switch
        {
            string text => string.Concat(Take(Values.Characters(text), start, stop, stride)),
            Sequence sequence => new Sequence(Take(sequence.Items, start, stop, stride), sequence.IsTuple),
            Undefined undefined => throw Error($"{undefined.Name} is undefined"),
            _ => throw Error($"{Values.TypeOf(value)} has no slices"),
        };
    }

    private static List<T> Take<T>(IReadOnlyList<T> items, long? from, long? to, long step)
    {
        long Clamp(long? at, long usual) => at is not { } position ? usual : Math.Clamp(position < 0 ? position + items.Count : position, step > 0 ? 0 : -1, step > 0 ? items.Count : items.Count - 1);
        var taken = new List<T>();
        var (start, stop) = (Clamp(from, step > 0 ? 0 : items.Count - 1), Clamp(to, step > 0 ? items.Count : -1));
        for (var k = start; step > 0 ? k < stop : k > stop; k += step)
            taken.Add(items[(int)k]);
        return taken;
    }
}

internal sealed class Call(Expression target, Arguments arguments, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context) => Evaluate(context, null);

    /// <param name="context">The rendering.</param>
    /// <param name="more">One more named argument.</param>
    public object? Evaluate(RenderContext context, (string Name, object? Value)? more)
    {
        using var level = context.Enter(Line);
        var called = target.Evaluate(context);
        if (called is not Function function)
            throw Error(called is Undefined undefined ? $"{undefined.Name} is undefined" : $"{Values.TypeOf(called)} cannot be called");
        var call = arguments.Evaluate(context, function.Name, Line);
        if (more is { } another)
            call.Named[another.Name] = another.Value;
        return function.Body(call);
    }
}

/// <summary>value|name(arguments), or value is name(arguments).</summary>
internal sealed class Filtered(Expression value, string name, Arguments arguments, bool isTest, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context)
    {
        using var level = context.Enter(Line);
        var input = value.Evaluate(context);
        return Apply(input, name, arguments.Evaluate(context, name, Line), isTest);
    }

    public static object? Apply(object? input, string name, Arguments.Call call, bool isTest) => isTest
        ? Tests.All.TryGetValue(name, out var test) ? test(input, call) : throw call.Error("unknown test")
        : Filters.All.TryGetValue(name, out var filter) ? filter(input, call) : throw call.Error("unknown filter");
}

internal sealed class Logic(string word, Expression left, Expression right, int line) : Expression(line)
{
    // The value that decides, as in Python.
    public override object? Evaluate(RenderContext context)
    {
        using var level = context.Enter(Line);
        var first = left.Evaluate(context);
        return Values.IsTrue(first) == (word == "or") ? first : right.Evaluate(context);
    }
}

internal sealed class Not(Expression value, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context)
    {
        using var level = context.Enter(Line);
        return !Values.IsTrue(value.Evaluate(context));
    }
}

internal sealed class Choice(Expression condition, Expression value, Expression? otherwise, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context)
    {
        using var level = context.Enter(Line);
        return Values.IsTrue(condition.Evaluate(context)) ? value.Evaluate(context) : otherwise is null ? Undefined.Of("the value without else") : otherwise.Evaluate(context);
    }
}

/// <summary>a &lt; b &lt;= c and the like.</summary>
internal sealed class Comparison(Expression first, IReadOnlyList<(string Operator, Expression Value)> others, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context)
    {
        using var level = context.Enter(Line);
        var left = first.Evaluate(context);
        foreach (var (name, value) in others)
        {
            var right = value.Evaluate(context);
            if (!Values.Compare(name, left, right, Line))
                return false;
            left = right;
        }
        return true;
    }
}

internal sealed class Arithmetic(string name, Expression left, Expression right, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context)
    {
        using var level = context.Enter(Line);
        return Numbers.Apply(name, left.Evaluate(context), right.Evaluate(context), context, Line);
    }
}

internal sealed class Sign(bool isMinus, Expression value, int line) : Expression(line)
{
    public override object? Evaluate(RenderContext context)
    {
        using var level = context.Enter(Line);
        return Numbers.Apply(isMinus ? "-" : "+", 0L, value.Evaluate(context), context, Line);
    }
}

/// <summary>The arguments of a call, a filter or a test.</summary>
internal sealed class Arguments(IReadOnlyList<(string? Name, Expression Value)> all)
{
    public static Arguments None { get; } = new([]);

    public Call Evaluate(RenderContext context, string name, int line)
    {
        var call = new Call(name, context, line);
        foreach (var (key, value) in all)
        {
            if (key is null)
                call.Positional.Add(value.Evaluate(context));
            else
                call.Named[key] = value.Evaluate(context);
        }
        return call;
    }

    /// <summary>A call with what its arguments are.</summary>
    internal sealed class Call(string name, RenderContext context, int line)
    {
        public List<object?> Positional { get; } = [];

        public Dictionary<string, object?> Named { get; } = new(StringComparer.Ordinal);

        public RenderContext Context => context;

        public int Line => line;

        public TemplateException Error(string problem) => new($"{name}: {problem}", line);

        /// <summary>Refuses more arguments than these.</summary>
        public Call Takes(params string[] names)
        {
            if (Positional.Count > names.Length)
                throw Error($"{Positional.Count} arguments, at most {names.Length} are known");
            if (Named.Keys.FirstOrDefault(key => !names.Contains(key)) is { } unknown)
                throw Error($"unknown argument {unknown}");
            return this;
        }

        /// <summary>An argument by place or name; null where it is left out.</summary>
        public object? Get(int place, string key, object? usual = null) => place < Positional.Count ? Positional[place] : Named.GetValueOrDefault(key, usual);

        public string Text(int place, string key, string? usual = null) => Get(place, key, usual) switch
        {
            string text => text,
            null => throw Error($"{key} is missing"),
            var other => throw Error($"{key} is {Values.TypeOf(other)}, not a string"),
        };

        public long Integer(int place, string key, long usual) => Get(place, key, usual) switch
        {
            long number => number,
            bool flag => flag ? 1 : 0,
            var other => throw Error($"{key} is {Values.TypeOf(other)}, not an integer"),
        };

        public bool Flag(int place, string key, bool usual) => Values.IsTrue(Get(place, key, usual));

        public List<object?> Items(object? value) => Values.Items(value, line);

        /// <summary>The texts with a separator between.</summary>
        public string Join(string separator, IReadOnlyCollection<string> texts)
        {
            context.Check(texts.Sum(text => (long)text.Length) + (long)separator.Length * texts.Count, line);
            return string.Join(separator, texts);
        }

        public string Checked(string text) => context.Checked(text, line);
    }
}

/// <summary>What can be called.</summary>
internal sealed record Function(string Name, Func<Arguments.Call, object?> Body);

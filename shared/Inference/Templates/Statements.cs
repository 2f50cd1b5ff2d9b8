namespace Qbb.Inference.Templates;

/// <summary>How a statement ended.</summary>
internal enum Flow
{
    Next,
    Break,
    Continue,
}

internal abstract class Statement
{
    public abstract Flow Run(RenderContext context);
}

internal sealed class Block(IReadOnlyList<Statement> nodes) : Statement
{
    public override Flow Run(RenderContext context)
    {
        foreach (var node in nodes)
        {
            if (node.Run(context) is not Flow.Next and var flow)
                return flow;
        }
        return Flow.Next;
    }
}

internal sealed class TextNode(string text, int line) : Statement
{
    public override Flow Run(RenderContext context)
    {
        context.Write(text, line);
        return Flow.Next;
    }
}

internal sealed class Print(Expression value, int line) : Statement
{
    public override Flow Run(RenderContext context)
    {
        context.Write(Values.Text(value.Evaluate(context)), line);
        return Flow.Next;
    }
}

internal sealed class If(IReadOnlyList<(Expression Condition, Block Body)> branches, Block? otherwise, int line) : Statement
{
    public override Flow Run(RenderContext context)
    {
        using var level = context.Enter(line);
        foreach (var (condition, body) in branches)
        {
            if (Values.IsTrue(condition.Evaluate(context)))
                return body.Run(context);
        }
        return otherwise?.Run(context) ?? Flow.Next;
    }
}

internal sealed class LoopControl(bool isBreak) : Statement
{
    public override Flow Run(RenderContext context) => isBreak ? Flow.Break : Flow.Continue;
}

internal sealed class Set(IReadOnlyList<string> names, Expression value, int line) : Statement
{
    public override Flow Run(RenderContext context)
    {
        Assign(context.Scope, names, value.Evaluate(context), line);
        return Flow.Next;
    }

    /// <summary>Gives one name a value, or several the items of one.</summary>
    public static void Assign(Scope scope, IReadOnlyList<string> names, object? value, int line)
    {
        if (names.Count == 1)
        {
            scope.Set(names[0], value);
            return;
        }
        var items = Values.Items(value, line);
        if (items.Count != names.Count)
            throw new TemplateException($"{items.Count} values for {names.Count} names", line);
        for (var k = 0; k < names.Count; k++)
            scope.Set(names[k], items[k]);
    }
}

internal sealed class SetMember(string name, string member, Expression value, int line) : Statement
{
    public override Flow Run(RenderContext context)
    {
        if (context.Scope.Get(name) is not Namespace target)
            throw new TemplateException($"{name}.{member} can be set in a namespace only", line);
        target.Members[member] = value.Evaluate(context);
        return Flow.Next;
    }
}

internal sealed class SetBlock(string name, Expression filter, Block body, int line) : Statement
{
    public override Flow Run(RenderContext context)
    {
        using var level = context.Enter(line);
        var text = context.Capture(() => context.Within(new(context.Scope), () => body.Run(context)));
        context.Captured = text;
        context.Scope.Set(name, filter.Evaluate(context));
        return Flow.Next;
    }
}

internal sealed class FilterBlock(Expression filter, Block body, int line) : Statement
{
    public override Flow Run(RenderContext context)
    {
        using var level = context.Enter(line);
        var text = context.Capture(() => context.Within(new(context.Scope), () => body.Run(context)));
        context.Captured = text;
        context.Write(Values.Text(filter.Evaluate(context)), line);
        return Flow.Next;
    }
}

internal sealed class For(IReadOnlyList<string> targets, Expression items, Expression? condition, Block body, Block? otherwise, int line) : Statement
{
    public override Flow Run(RenderContext context)
    {
        using var level = context.Enter(line);
        var all = Values.Items(items.Evaluate(context), line);
        if (condition is not null)
            all = [.. all.Where(item => Passes(context, item))];
        if (all.Count == 0)
            return otherwise?.Run(context) ?? Flow.Next;
        var loop = new Loop(all, context.Scope.Get("loop") is Loop outer ? outer.Depth + 1 : 1);
        foreach (var item in all)
        {
            using var step = context.Enter(line);
            var scope = new Scope(context.Scope);
            scope.Set("loop", loop);
            Set.Assign(scope, targets, item, line);
            var flow = Flow.Next;
            context.Within(scope, () => flow = body.Run(context));
            if (flow == Flow.Break)
                break;
            loop.Index0++;
        }
        return Flow.Next;
    }

    private bool Passes(RenderContext context, object? item)
    {
        using var step = context.Enter(line);
        var scope = new Scope(context.Scope);
        Set.Assign(scope, targets, item, line);
        var passes = false;
        context.Within(scope, () => passes = Values.IsTrue(condition!.Evaluate(context)));
        return passes;
    }
}

/// <summary>What <c>loop</c> stands for.</summary>
internal sealed class Loop(List<object?> items, int depth) : IMembers
{
    private object? _last = Undefined.Of("loop.changed");

    public int Index0 { get; set; }

    public int Depth => depth;

    public object? Member(string name) => name switch
    {
        "index" => Index0 + 1L,
        "index0" => (long)Index0,
        "revindex" => (long)(items.Count - Index0),
        "revindex0" => (long)(items.Count - Index0 - 1),
        "first" => Index0 == 0,
        "last" => Index0 == items.Count - 1,
        "length" => (long)items.Count,
        "depth" => (long)depth,
        "depth0" => depth - 1L,
        "previtem" => Index0 > 0 ? items[Index0 - 1] : Undefined.Of("loop.previtem"),
        "nextitem" => Index0 + 1 < items.Count ? items[Index0 + 1] : Undefined.Of("loop.nextitem"),
        "cycle" => new Function("loop.cycle", call => call.Positional.Count == 0 ? throw call.Error("no items") : call.Positional[Index0 % call.Positional.Count]),
        "changed" => new Function("loop.changed", call =>
        {
            var (before, now) = (_last, new Sequence(call.Positional, isTuple: true));
            _last = now;
            return !Values.AreEqual(before, now);
        }),
        _ => Undefined.Of($"loop.{name}"),
    };
}

internal sealed class MacroNode(MacroBody macro, int line) : Statement
{
    public override Flow Run(RenderContext context)
    {
        context.Scope.Set(macro.Name, macro.In(context, line));
        return Flow.Next;
    }
}

/// <summary>A call whose macro gets a block as <c>caller()</c>.</summary>
internal sealed class CallBlock(Call call, MacroBody caller, int line) : Statement
{
    public override Flow Run(RenderContext context)
    {
        context.Write(Values.Text(call.Evaluate(context, ("caller", caller.In(context, line)))), line);
        return Flow.Next;
    }
}

/// <summary>A macro: a block with parameters that returns what it writes.</summary>
internal sealed record MacroBody(string Name, IReadOnlyList<(string Name, Expression? Default)> Parameters, Block Body, int Line)
{
    /// <summary>The macro with the names around it.</summary>
    public Function In(RenderContext context, int line)
    {
        var around = context.Scope;
        return new(Name, call =>
        {
            using var level = context.Enter(line);
            var scope = new Scope(around);
            var named = new Dictionary<string, object?>(call.Named, StringComparer.Ordinal);
            if (call.Positional.Count > Parameters.Count)
                throw call.Error($"{call.Positional.Count} arguments for {Parameters.Count} parameters");
            for (var k = 0; k < Parameters.Count; k++)
            {
                var (name, usual) = Parameters[k];
                object? value = null;
                if (k < call.Positional.Count)
                    value = call.Positional[k];
                else if (!named.Remove(name, out value))
                    context.Within(scope, () => value = usual is null ? Undefined.Of(name) : usual.Evaluate(context));
                scope.Set(name, value);
            }
            if (named.Remove("caller", out var caller))
                scope.Set("caller", caller);
            if (named.Count > 0)
                throw call.Error($"unknown argument {named.Keys.First()}");
            return context.Capture(() => context.Within(scope, () => Body.Run(context)));
        });
    }
}

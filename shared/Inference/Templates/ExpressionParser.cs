using System.Globalization;

namespace Qbb.Inference.Templates;

/// <summary>Reads expressions, by Jinja's order of operators: choice, or, and, not, comparison, + -, ~, * / // %, **, sign, members and filters.</summary>
internal sealed class ExpressionParser(TokenReader reader)
{
    private const int MostDepth = 60;
    private static readonly string[] s_comparisons = ["==", "!=", "<", ">", "<=", ">="];

    // Parsers of a template's parts are short-lived; depth within one expression is what a hostile template could grow.
    private int _depth;

    public Expression Expression()
    {
        if (++_depth > MostDepth)
            throw reader.Error($"more than {MostDepth} expressions in one another");
        var value = Or();
        while (reader.Peek is { Text: "if", Kind: TokenKind.Name, Line: var line })
        {
            reader.Next();
            var condition = Or();
            value = new Choice(condition, value, reader.Skips("else") ? Expression() : null, line);
        }
        _depth--;
        return value;
    }

    /// <summary>One expression, or several with commas between: a tuple.</summary>
    public Expression Tuple(bool withoutChoice = false)
    {
        var line = reader.Peek.Line;
        List<Expression> items = [withoutChoice ? Or() : Expression()];
        if (!reader.Peek.Is(","))
            return items[0];
        while (reader.Skips(","))
        {
            if (reader.Peek.Kind is TokenKind.CloseBlock or TokenKind.ClosePrint || reader.Peek.Is(")"))
                break;
            items.Add(withoutChoice ? Or() : Expression());
        }
        return new SequenceNode(items, isTuple: true, line);
    }

    /// <summary>Filters behind a value; a bar or, at the start of a filter block, none before the first.</summary>
    public Expression Filters(Expression value)
    {
        if (reader.Peek.Kind == TokenKind.Name)
            value = Filter(value);
        while (reader.Skips("|"))
            value = Filter(value);
        return value;
    }

    private Expression Or()
    {
        var left = And();
        while (reader.Peek is { Line: var line } && reader.Skips("or"))
            left = new Logic("or", left, And(), line);
        return left;
    }

    private Expression And()
    {
        var left = Negation();
        while (reader.Peek is { Line: var line } && reader.Skips("and"))
            left = new Logic("and", left, Negation(), line);
        return left;
    }

    private Expression Negation()
    {
        var line = reader.Peek.Line;
        if (!reader.Skips("not"))
            return Comparisons();
        return Nested(() => new Not(Negation(), line));
    }

    private Expression Comparisons()
    {
        var line = reader.Peek.Line;
        var first = Sum();
        var others = new List<(string, Expression)>();
        while (true)
        {
            if (reader.Peek.Kind == TokenKind.Operator && s_comparisons.Contains(reader.Peek.Text))
                others.Add((reader.Next().Text, Sum()));
            else if (reader.Skips("in"))
                others.Add(("in", Sum()));
            else if (reader.Peek.Is("not") && reader.PeekAfter.Is("in"))
            {
                reader.Next();
                reader.Next();
                others.Add(("not in", Sum()));
            }
            else
                return others.Count == 0 ? first : new Comparison(first, others, line);
        }
    }

    private Expression Sum() => Chain(Joined, "+", "-");

    private Expression Joined() => Chain(Product, "~");

    private Expression Product() => Chain(Power, "*", "/", "//", "%");

    private Expression Chain(Func<Expression> part, params string[] operators)
    {
        var left = part();
        while (reader.Peek.Kind == TokenKind.Operator && operators.Contains(reader.Peek.Text))
        {
            var token = reader.Next();
            left = new Arithmetic(token.Text, left, part(), token.Line);
        }
        return left;
    }

    private Expression Power()
    {
        var left = Unary(withFilters: true);
        while (reader.Peek is { Line: var line } && reader.Skips("**"))
            left = new Arithmetic("**", left, Unary(withFilters: true), line);
        return left;
    }

    // A sign binds closer than ** does, and filters apply to the signed value.
    private Expression Unary(bool withFilters)
    {
        Expression value;
        if (reader.Peek is { Kind: TokenKind.Operator, Text: "-" or "+" } sign)
        {
            reader.Next();
            value = Nested(() => new Sign(sign.Text == "-", Unary(withFilters: false), sign.Line));
        }
        else
            value = Primary();
        value = Postfix(value);
        while (withFilters)
        {
            var line = reader.Peek.Line;
            if (reader.Skips("|"))
                value = Filter(value);
            else if (reader.Skips("is"))
                value = Test(value, line);
            else if (reader.Peek.Is("("))
                value = new Call(value, CallArguments(), line);
            else
                break;
        }
        return value;
    }

    private Expression Postfix(Expression value)
    {
        while (true)
        {
            var line = reader.Peek.Line;
            if (reader.Skips("."))
            {
                var name = reader.Peek.Kind == TokenKind.Integer ? reader.Next() : reader.Take(TokenKind.Name);
                value = name.Kind == TokenKind.Integer ? new Member(value, new Literal(long.Parse(name.Text, CultureInfo.InvariantCulture), line), isDotted: false, line)
                    : new Member(value, new Literal(name.Text, line), isDotted: true, line);
            }
            else if (reader.Skips("["))
                value = Subscript(value, line);
            else if (reader.Peek.Is("("))
                value = new Call(value, CallArguments(), line);
            else
                return value;
        }
    }

    private Expression Subscript(Expression value, int line)
    {
        Expression? Part() => reader.Peek.Is(":") || reader.Peek.Is("]") ? null : Expression();
        var first = Part();
        if (!reader.Skips(":"))
        {
            reader.Take("]");
            return new Member(value, first ?? throw reader.Error("[] needs an index"), isDotted: false, line);
        }
        var second = Part();
        var third = reader.Skips(":") ? Part() : null;
        reader.Take("]");
        return new Slice(value, first, second, third, line);
    }

    private Filtered Filter(Expression value)
    {
        var name = reader.Take(TokenKind.Name);
        if (!Templates.Filters.All.ContainsKey(name.Text))
            throw reader.Error($"unknown filter {name.Text}; known are {string.Join(", ", Templates.Filters.All.Keys.Order(StringComparer.Ordinal))}");
        return new(value, name.Text, reader.Peek.Is("(") ? CallArguments() : Arguments.None, isTest: false, name.Line);
    }

    private Expression Test(Expression value, int line)
    {
        var isNegated = reader.Skips("not");
        var token = reader.Peek.Is("in") ? reader.Next() : reader.Take(TokenKind.Name);
        if (!Tests.All.ContainsKey(token.Text))
            throw reader.Error($"unknown test {token.Text}; known are {string.Join(", ", Tests.All.Keys.Order(StringComparer.Ordinal))}");
        var arguments = reader.Peek.Is("(") ? CallArguments()
            // is divisibleby 3
            : reader.Peek.Kind is TokenKind.Integer or TokenKind.Float or TokenKind.String || (reader.Peek.Kind == TokenKind.Name && reader.Peek.Text is not ("and" or "or" or "not" or "if" or "else" or "is" or "in"))
                || reader.Peek.Is("[") || reader.Peek.Is("{") ? new([(null, Postfix(Primary()))])
            : Arguments.None;
        var test = new Filtered(value, token.Text, arguments, isTest: true, line);
        return isNegated ? new Not(test, line) : test;
    }

    private Arguments CallArguments()
    {
        reader.Take("(");
        var all = new List<(string?, Expression)>();
        while (!reader.Skips(")"))
        {
            if (all.Count > 0)
            {
                reader.Take(",");
                if (reader.Skips(")"))
                    break;
            }
            if (reader.Peek.Is("*") || reader.Peek.Is("**"))
                throw reader.Error("arguments by * and ** are not known");
            string? name = null;
            if (reader.Peek.Kind == TokenKind.Name && reader.PeekAfter.Is("="))
            {
                name = reader.Next().Text;
                reader.Next();
            }
            all.Add((name, Expression()));
        }
        return new(all);
    }

    private Expression Primary()
    {
        var token = reader.Next();
        switch (token.Kind)
        {
            case TokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => new Literal(true, token.Line),
                    "false" or "False" => new Literal(false, token.Line),
                    "none" or "None" => new Literal(null, token.Line),
                    _ => new Name(token.Text, token.Line),
                };
            case TokenKind.String:
                // Strings beside one another are one.
                var text = token.Text;
                while (reader.Peek.Kind == TokenKind.String)
                    text += reader.Next().Text;
                return new Literal(text, token.Line);
            case TokenKind.Integer:
                return new Literal(long.Parse(token.Text, CultureInfo.InvariantCulture), token.Line);
            case TokenKind.Float:
                return new Literal(double.Parse(token.Text, CultureInfo.InvariantCulture), token.Line);
            case TokenKind.Operator when token.Text == "(":
                if (reader.Skips(")"))
                    return new SequenceNode([], isTuple: true, token.Line);
                var inner = Nested(() => Tuple());
                reader.Take(")");
                return inner;
            case TokenKind.Operator when token.Text == "[":
                return new SequenceNode(Nested(() => List("]", Expression)), isTuple: false, token.Line);
            case TokenKind.Operator when token.Text == "{":
                return new MappingNode(Nested(() => List("}", () =>
                {
                    var key = Expression();
                    reader.Take(":");
                    return (key, Expression());
                })), token.Line);
            default:
                throw new TemplateException($"a value is expected, not '{token.Text}'", token.Line);
        }
    }

    private T Nested<T>(Func<T> read)
    {
        if (++_depth > MostDepth)
            throw reader.Error($"more than {MostDepth} expressions in one another");
        var value = read();
        _depth--;
        return value;
    }

    private List<T> List<T>(string close, Func<T> item)
    {
        var items = new List<T>();
        while (!reader.Skips(close))
        {
            if (items.Count > 0)
            {
                reader.Take(",");
                if (reader.Skips(close))
                    break;
            }
            items.Add(item());
        }
        return items;
    }
}

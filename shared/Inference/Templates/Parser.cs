namespace Qbb.Inference.Templates;

/// <summary>Reads the statements of a template.</summary>
internal sealed class Parser(List<Token> tokens)
{
    private const int MostDepth = 100;

    private static readonly string[] s_known =
        ["for", "if", "set", "macro", "call", "filter", "break", "continue", "generation", "raw"];

    private readonly TokenReader _reader = new(tokens);
    private int _depth;
    private int _loops;

    public Block ParseAll()
    {
        var (body, end) = ParseUntil();
        return end is null ? body : throw _reader.Error($"{{% {end} %}} closes nothing");
    }

    /// <summary>Statements up to one of the tags, which is read but for its rest; null for the template's end.</summary>
    private (Block Body, string? End) ParseUntil(params string[] ends)
    {
        if (++_depth > MostDepth)
            throw _reader.Error($"more than {MostDepth} blocks in one another");
        var nodes = new List<Statement>();
        while (true)
        {
            var token = _reader.Next();
            switch (token.Kind)
            {
                case TokenKind.End when ends.Length == 0:
                    _depth--;
                    return (new(nodes), null);
                case TokenKind.End:
                    throw _reader.Error($"{{% {ends[^1]} %}} is missing");
                case TokenKind.Text:
                    nodes.Add(new TextNode(token.Text, token.Line));
                    break;
                case TokenKind.OpenPrint:
                    nodes.Add(new Print(Expression(), token.Line));
                    _reader.Take(TokenKind.ClosePrint);
                    break;
                default:
                    var name = _reader.Take(TokenKind.Name).Text;
                    if (ends.Contains(name) || name.StartsWith("end", StringComparison.Ordinal) || name is "else" or "elif")
                    {
                        if (ends.Length > 0 && !ends.Contains(name))
                            throw _reader.Error($"{{% {name} %}} where {{% {ends[^1]} %}} is expected");
                        _depth--;
                        return (new(nodes), name);
                    }
                    nodes.Add(ParseStatement(name, token.Line));
                    break;
            }
        }
    }

    private Statement ParseStatement(string name, int line)
    {
        switch (name)
        {
            case "if":
                return ParseIf(line);
            case "for":
                return ParseFor(line);
            case "set":
                return ParseSet(line);
            case "macro":
                return ParseMacro(line);
            case "call":
                var parameters = _reader.Skips("(") ? Parameters() : [];
                var call = Expression();
                _reader.CloseBlock();
                return new CallBlock(call as Call ?? throw _reader.Error("{% call %} needs a call"), new("caller", parameters, Body("endcall"), line), line);
            case "filter":
                var filter = new ExpressionParser(_reader).Filters(new Captured(line));
                _reader.CloseBlock();
                return new FilterBlock(filter, Body("endfilter"), line);
            case "generation":
                _reader.CloseBlock();
                return Body("endgeneration");
            case "break" or "continue":
                if (_loops == 0)
                    throw _reader.Error($"{{% {name} %}} is outside of a loop");
                _reader.CloseBlock();
                return new LoopControl(name == "break");
            default:
                throw _reader.Error($"unknown tag {name}; known are {string.Join(", ", s_known)}");
        }
    }

    private If ParseIf(int line)
    {
        var branches = new List<(Expression, Block)>();
        var end = "if";
        while (end is "if" or "elif")
        {
            var condition = Expression();
            _reader.CloseBlock();
            (var body, end) = ParseUntil("elif", "else", "endif");
            branches.Add((condition, body));
        }
        _reader.CloseBlock();
        return new(branches, end == "else" ? Body("endif") : null, line);
    }

    private For ParseFor(int line)
    {
        var targets = Targets();
        _reader.Take("in");
        // A condition behind it is the loop's, not a choice.
        var items = new ExpressionParser(_reader).Tuple(withoutChoice: true);
        var condition = _reader.Skips("if") ? Expression() : null;
        if (_reader.Skips("recursive"))
            throw _reader.Error("recursive loops are not known");
        _reader.CloseBlock();
        _loops++;
        var (body, end) = ParseUntil("else", "endfor");
        _loops--;
        _reader.CloseBlock();
        return new(targets, items, condition, body, end == "else" ? Body("endfor") : null, line);
    }

    private Statement ParseSet(int line)
    {
        var name = _reader.Take(TokenKind.Name).Text;
        if (_reader.Skips("."))
        {
            var member = _reader.Take(TokenKind.Name).Text;
            _reader.Take("=");
            var value = new ExpressionParser(_reader).Tuple();
            _reader.CloseBlock();
            return new SetMember(name, member, value, line);
        }
        List<string> names = [name];
        while (_reader.Skips(","))
            names.Add(_reader.Take(TokenKind.Name).Text);
        if (_reader.Skips("="))
        {
            var value = new ExpressionParser(_reader).Tuple();
            _reader.CloseBlock();
            return new Set(names, value, line);
        }
        var filter = new ExpressionParser(_reader).Filters(new Captured(line));
        _reader.CloseBlock();
        return new SetBlock(name, filter, Body("endset"), line);
    }

    private MacroNode ParseMacro(int line)
    {
        var name = _reader.Take(TokenKind.Name).Text;
        _reader.Take("(");
        var parameters = Parameters();
        _reader.CloseBlock();
        var loops = _loops;
        _loops = 0;
        var body = Body("endmacro");
        _loops = loops;
        return new(new(name, parameters, body, line), line);
    }

    private List<(string Name, Expression? Default)> Parameters()
    {
        var parameters = new List<(string, Expression?)>();
        while (!_reader.Skips(")"))
        {
            if (parameters.Count > 0)
            {
                _reader.Take(",");
                if (_reader.Skips(")"))
                    break;
            }
            parameters.Add((_reader.Take(TokenKind.Name).Text, _reader.Skips("=") ? Expression() : null));
        }
        return parameters;
    }

    private List<string> Targets()
    {
        var isParenthesized = _reader.Skips("(");
        List<string> names = [_reader.Take(TokenKind.Name).Text];
        while (_reader.Skips(","))
            names.Add(_reader.Take(TokenKind.Name).Text);
        if (isParenthesized)
            _reader.Take(")");
        return names;
    }

    private Block Body(string end)
    {
        var (body, _) = ParseUntil(end);
        // Some name what they close: {% endmacro name %}.
        if (_reader.Peek.Kind == TokenKind.Name)
            _reader.Next();
        _reader.CloseBlock();
        return body;
    }

    private Expression Expression() => new ExpressionParser(_reader).Expression();
}

/// <summary>The tokens one after another.</summary>
internal sealed class TokenReader(List<Token> tokens)
{
    private int _at;

    public Token Peek => tokens[_at];

    public Token PeekAfter => tokens[Math.Min(_at + 1, tokens.Count - 1)];

    public Token Next() => _at == tokens.Count - 1 ? tokens[_at] : tokens[_at++];

    public bool Skips(string text)
    {
        if (!Peek.Is(text))
            return false;
        _at++;
        return true;
    }

    public void Take(string text)
    {
        if (!Skips(text))
            throw Error($"'{text}' is expected, not '{Peek.Text}'");
    }

    public Token Take(TokenKind kind) => Peek.Kind == kind ? Next() : throw Error($"{Expected(kind)} is expected, not '{Peek.Text}'");

    public void CloseBlock() => Take(TokenKind.CloseBlock);

    public TemplateException Error(string problem) => new(problem, Peek.Line);

    private static string Expected(TokenKind kind) => kind switch { TokenKind.CloseBlock => "%}", TokenKind.ClosePrint => "}}", _ => "a name" };
}

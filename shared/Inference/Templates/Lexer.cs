using System.Globalization;
using System.Text;

namespace Qbb.Inference.Templates;

internal enum TokenKind
{
    /// <summary>Text outside of tags.</summary>
    Text,
    OpenBlock,
    CloseBlock,
    OpenPrint,
    ClosePrint,
    Name,
    String,
    Integer,
    Float,
    Operator,
    End,
}

/// <param name="Kind">What it is.</param>
/// <param name="Text">Its text; of a string what it stands for.</param>
/// <param name="Line">From 1.</param>
internal readonly record struct Token(TokenKind Kind, string Text, int Line)
{
    public bool Is(string text) => Kind is TokenKind.Operator or TokenKind.Name && Text == text;
}

/// <summary>Splits a template, with transformers' settings: a line with nothing but a block leaves nothing, the newline behind a block goes.</summary>
internal sealed class Lexer
{
    private static readonly string[] s_operators = ["//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "(", ")", "[", "]", "{", "}", "|", ",", ".", ":", "="];

    private readonly string _source;
    private readonly List<Token> _tokens = [];
    private int _at;
    private int _line = 1;

    private Lexer(string source) => _source = source;

    public static List<Token> Read(string source)
    {
        source = source.ReplaceLineEndings("\n");
        var lexer = new Lexer(source.EndsWith('\n') ? source[..^1] : source);
        lexer.Run();
        return lexer._tokens;
    }

    private void Run()
    {
        // Whether what follows begins a line, and whether its white space goes up to the next text.
        var (isLineStart, isStripped) = (true, false);
        while (_at < _source.Length)
        {
            var next = NextTag();
            var text = _source[_at..next];
            var sign = next + 2 < _source.Length ? _source[next + 2] : ' ';
            if (isStripped)
                text = text.TrimStart();
            if (next < _source.Length && sign == '-')
                text = text.TrimEnd();
            else if (next < _source.Length && _source[next + 1] != '{' && sign != '+')
                text = WithoutIndent(text, isLineStart && !isStripped);
            if (text.Length > 0)
                _tokens.Add(new(TokenKind.Text, text, _line));
            MoveTo(next);
            if (_at == _source.Length)
                break;
            (isLineStart, isStripped) = ReadTag(sign);
        }
        _tokens.Add(new(TokenKind.End, "the template's end", _line));
    }

    private int NextTag()
    {
        for (var k = _source.IndexOf('{', _at); k >= 0 && k + 1 < _source.Length; k = _source.IndexOf('{', k + 1))
        {
            if (_source[k + 1] is '{' or '%' or '#')
                return k;
        }
        return _source.Length;
    }

    private static string WithoutIndent(string text, bool isLineStart)
    {
        var line = text.LastIndexOf('\n') + 1;
        return (line > 0 || isLineStart) && string.IsNullOrWhiteSpace(text[line..]) ? text[..line] : text;
    }

    /// <summary>Reads a tag; whether a line begins behind it, and whether the white space behind it goes.</summary>
    private (bool IsLineStart, bool IsStripped) ReadTag(char sign)
    {
        var (kind, line) = (_source[_at + 1], _line);
        MoveTo(_at + (kind != '#' && sign is '-' or '+' ? 3 : 2));
        if (kind == '#')
        {
            var end = _source.IndexOf("#}", _at, StringComparison.Ordinal);
            if (end < 0)
                throw new TemplateException("a comment does not end", line);
            var isStripped = _source[end - 1] == '-';
            MoveTo(end + 2);
            return isStripped ? (false, true) : (SkipNewline(), false);
        }
        _tokens.Add(new(kind == '%' ? TokenKind.OpenBlock : TokenKind.OpenPrint, kind == '%' ? "{%" : "{{", line));
        var close = kind == '%' ? "%}" : "}}";
        var depth = 0;
        while (true)
        {
            MoveTo(SkipSpace());
            if (_at == _source.Length)
                throw new TemplateException($"a tag does not end with {close}", line);
            var mark = _source[_at] is '-' or '+' ? 1 : 0;
            if (depth == 0 && string.CompareOrdinal(_source, _at + mark, close, 0, 2) == 0)
            {
                var ends = mark == 1 ? _source[_at] : ' ';
                _tokens.Add(new(kind == '%' ? TokenKind.CloseBlock : TokenKind.ClosePrint, close, _line));
                MoveTo(_at + mark + 2);
                if (kind == '%' && IsRaw())
                    return ReadRaw(line);
                return ends == '-' ? (false, true) : (kind == '%' && ends != '+' && SkipNewline(), false);
            }
            var token = ReadToken();
            depth += token.Is("{") || token.Is("(") || token.Is("[") ? 1 : token.Is("}") || token.Is(")") || token.Is("]") ? -1 : 0;
            _tokens.Add(token);
        }
    }

    private bool IsRaw() => _tokens is [.., { Kind: TokenKind.OpenBlock }, { Kind: TokenKind.Name, Text: "raw" }, { Kind: TokenKind.CloseBlock }];

    private (bool IsLineStart, bool IsStripped) ReadRaw(int line)
    {
        _tokens.RemoveRange(_tokens.Count - 3, 3);
        for (var k = _source.IndexOf("{%", _at, StringComparison.Ordinal); k >= 0; k = _source.IndexOf("{%", k + 2, StringComparison.Ordinal))
        {
            var end = _source.IndexOf("%}", k, StringComparison.Ordinal);
            if (end < 0 || _source[(k + 2)..end].Trim('-', '+', ' ', '\n', '\t') != "endraw")
                continue;
            _tokens.Add(new(TokenKind.Text, _source[_at..k], _line));
            MoveTo(end + 2);
            return _source[end - 1] == '-' ? (false, true) : (SkipNewline(), false);
        }
        throw new TemplateException("{% raw %} has no {% endraw %}", line);
    }

    private bool SkipNewline()
    {
        if (_at == _source.Length || _source[_at] != '\n')
            return false;
        MoveTo(_at + 1);
        return true;
    }

    private int SkipSpace()
    {
        var k = _at;
        while (k < _source.Length && char.IsWhiteSpace(_source[k]))
            k++;
        return k;
    }

    private void MoveTo(int position)
    {
        _line += _source.AsSpan(_at, position - _at).Count('\n');
        _at = position;
    }

    private Token ReadToken()
    {
        var (character, line, start) = (_source[_at], _line, _at);
        if (char.IsLetter(character) || character == '_')
        {
            while (_at < _source.Length && (char.IsLetterOrDigit(_source[_at]) || _source[_at] == '_'))
                _at++;
            return new(TokenKind.Name, _source[start.._at], line);
        }
        if (char.IsAsciiDigit(character))
            return ReadNumber(line);
        if (character is '"' or '\'')
            return ReadString(character, line);
        foreach (var text in s_operators)
        {
            if (string.CompareOrdinal(_source, _at, text, 0, text.Length) == 0)
            {
                _at += text.Length;
                return new(TokenKind.Operator, text, line);
            }
        }
        throw new TemplateException($"unexpected character '{character}'", line);
    }

    private Token ReadNumber(int line)
    {
        var start = _at;
        void Digits()
        {
            while (_at < _source.Length && (char.IsAsciiDigit(_source[_at]) || _source[_at] == '_'))
                _at++;
        }
        Digits();
        var isFloat = _at + 1 < _source.Length && _source[_at] == '.' && char.IsAsciiDigit(_source[_at + 1]);
        if (isFloat)
        {
            _at++;
            Digits();
        }
        var sign = _at + 1 < _source.Length && _source[_at] is 'e' or 'E' ? _source[_at + 1] is '+' or '-' ? 2 : 1 : 0;
        if (sign > 0 && _at + sign < _source.Length && char.IsAsciiDigit(_source[_at + sign]))
        {
            isFloat = true;
            _at += sign;
            Digits();
        }
        var text = _source[start.._at].Replace("_", "", StringComparison.Ordinal);
        if (!isFloat && !long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out _))
            throw new TemplateException($"the number {text} is too large", line);
        return new(isFloat ? TokenKind.Float : TokenKind.Integer, text, line);
    }

    private Token ReadString(char quote, int line)
    {
        var text = new StringBuilder();
        for (_at++; _at < _source.Length && _source[_at] != quote; _at++)
        {
            if (_source[_at] == '\n')
                _line++;
            if (_source[_at] != '\\' || _at + 1 == _source.Length)
                text.Append(_source[_at]);
            else
                ReadEscape(text, line);
        }
        if (_at == _source.Length)
            throw new TemplateException("a string does not end", line);
        _at++;
        return new(TokenKind.String, $"{text}", line);
    }

    /// <summary>Python's escapes; what is none stays as it is.</summary>
    private void ReadEscape(StringBuilder text, int line)
    {
        var character = _source[++_at];
        var digits = character switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
        if (digits > 0)
        {
            if (_at + digits >= _source.Length || !int.TryParse(_source.AsSpan(_at + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var code) || !Rune.IsValid(code))
                throw new TemplateException($"the escape \\{character} is not followed by {digits} hexadecimal digits of a character", line);
            text.Append(new Rune(code));
            _at += digits;
            return;
        }
        _ = character switch
        {
            'n' => text.Append('\n'),
            't' => text.Append('\t'),
            'r' => text.Append('\r'),
            'b' => text.Append('\b'),
            'f' => text.Append('\f'),
            'v' => text.Append('\v'),
            'a' => text.Append('\a'),
            '0' => text.Append('\0'),
            '\\' or '\'' or '"' => text.Append(character),
            '\n' => text,
            _ => text.Append('\\').Append(character),
        };
    }
}

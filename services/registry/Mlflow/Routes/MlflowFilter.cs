using System.Globalization;
using Qbb.Registry.Mlflow.Client;

namespace Qbb.Registry.Mlflow.Routes;

/// <summary>A request cannot be answered; what is said is in MLflow's form of errors.</summary>
internal sealed class MlflowRefusal(int status, string code, string message) : Exception(message)
{
    public int Status => status;

    public string Code => code;

    public static MlflowRefusal Invalid(string message) => new(StatusCodes.Status400BadRequest, MlflowCodes.InvalidParameter, message);

    public static MlflowRefusal Missing(string message) => new(StatusCodes.Status404NotFound, MlflowCodes.DoesNotExist, message);
}

/// <summary>What a condition or an order is about: metrics.kl, tags.`my key`, start_time.</summary>
/// <param name="Entity">As written, before the first dot; null for an attribute without one.</param>
/// <param name="Key">The rest.</param>
internal readonly record struct FilterKey(string? Entity, string Key)
{
    public override string ToString() => Entity is null ? Key : $"{Entity}.{Key}";
}

internal enum Comparison
{
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    ILike,
    In,
    NotIn,
    IsNull,
    IsNotNull,
}

/// <param name="Text">Of a quoted value; null for a number.</param>
/// <param name="Number">Of a value without quotes; null for a text.</param>
internal readonly record struct FilterValue(string? Text, double? Number);

/// <param name="Key">What is compared.</param>
/// <param name="Comparison">How.</param>
/// <param name="Values">One; several for IN, none for IS NULL.</param>
internal sealed record FilterClause(FilterKey Key, Comparison Comparison, IReadOnlyList<FilterValue> Values);

/// <summary>
/// MLflow's filter strings:
/// <code>
/// filter  := clause ("AND" clause)*
/// clause  := key operator value | key ["NOT"] "IN" "(" value ("," value)* ")" | key "IS" ["NOT"] "NULL"
/// key     := word | word "." (word | quoted)
/// order   := key ["ASC" | "DESC"]
/// value   := 'text' | "text" | number          operator := = != &lt; &lt;= &gt; &gt;= LIKE ILIKE
/// </code>
/// Keys are quoted by ` or ". There are no OR and no parentheses, as in MLflow.
/// </summary>
internal sealed class MlflowFilter
{
    private readonly string _text;
    private readonly List<Token> _tokens;
    private int _next;

    private MlflowFilter(string text)
    {
        _text = text;
        _tokens = [.. Lex(text)];
    }

    private Token? Ahead => _next < _tokens.Count ? _tokens[_next] : null;

    /// <exception cref="MlflowRefusal">It is not a filter; the message names the place.</exception>
    public static IReadOnlyList<FilterClause> Parse(string? text)
    {
        if (string.IsNullOrWhiteSpace(text))
            return [];
        var parser = new MlflowFilter(text);
        var clauses = new List<FilterClause> { parser.Clause() };
        while (parser.Ahead is not null)
        {
            parser.Expect("AND");
            clauses.Add(parser.Clause());
        }
        return clauses;
    }

    /// <exception cref="MlflowRefusal">It is not an order.</exception>
    public static (FilterKey Key, bool IsFalling) ParseOrder(string text)
    {
        var parser = new MlflowFilter(text);
        var key = parser.Key();
        var isFalling = parser.Take("DESC");
        if (!isFalling)
            parser.Take("ASC");
        return parser.Ahead is { } more ? throw parser.Unexpected(more, "the end; an order is KEY, KEY ASC or KEY DESC") : (key, isFalling);
    }

    private FilterClause Clause()
    {
        var key = Key();
        if (Take("IS"))
        {
            var isNot = Take("NOT");
            Expect("NULL");
            return new FilterClause(key, isNot ? Comparison.IsNotNull : Comparison.IsNull, []);
        }
        if (Take("NOT"))
        {
            Expect("IN");
            return new FilterClause(key, Comparison.NotIn, List());
        }
        if (Take("IN"))
            return new FilterClause(key, Comparison.In, List());
        var sign = Ahead ?? throw Ended("an operator");
        Comparison? comparison = sign.Kind is TokenKind.Sign or TokenKind.Word ? sign.Text.ToUpperInvariant() switch
        {
            "=" or "==" => Comparison.Equal,
            "!=" or "<>" => Comparison.NotEqual,
            "<" => Comparison.Less,
            "<=" => Comparison.LessOrEqual,
            ">" => Comparison.Greater,
            ">=" => Comparison.GreaterOrEqual,
            "LIKE" => Comparison.Like,
            "ILIKE" => Comparison.ILike,
            _ => null,
        } : null;
        _next++;
        return new FilterClause(key, comparison ?? throw Unexpected(sign, "an operator: =, !=, <, <=, >, >=, LIKE, ILIKE, IN, NOT IN, IS NULL or IS NOT NULL"), [Value()]);
    }

    private FilterKey Key()
    {
        var token = Ahead ?? throw Ended("a key");
        _next++;
        if (token.Kind is TokenKind.Quoted && token.Quote != '\'')
            return new FilterKey(null, token.Text);
        if (token.Kind != TokenKind.Word)
            throw Unexpected(token, "a key such as metrics.kl");
        var dot = token.Text.IndexOf('.');
        if (dot < 0)
            return new FilterKey(null, token.Text);
        var (entity, key) = (token.Text[..dot], token.Text[(dot + 1)..]);
        if (key.Length > 0)
            return new FilterKey(entity, key);
        if (Ahead is not { Kind: TokenKind.Quoted } quoted || quoted.Quote == '\'')
            throw Ahead is { } wrong ? Unexpected(wrong, $"a key after {entity}.") : Ended($"a key after {entity}.");
        _next++;
        return new FilterKey(entity, quoted.Text);
    }

    private List<FilterValue> List()
    {
        Expect("(");
        var values = new List<FilterValue> { Value() };
        while (Take(","))
            values.Add(Value());
        Expect(")");
        return values;
    }

    private FilterValue Value()
    {
        var token = Ahead ?? throw Ended("a value");
        _next++;
        return token.Kind switch
        {
            TokenKind.Quoted when token.Quote != '`' => new FilterValue(token.Text, null),
            TokenKind.Number => new FilterValue(null, double.Parse(token.Text, CultureInfo.InvariantCulture)),
            _ => throw Unexpected(token, "a value: a number, or a text in quotes"),
        };
    }

    private bool Take(string word)
    {
        if (Ahead is not { Kind: TokenKind.Word or TokenKind.Sign } token || !token.Text.Equals(word, StringComparison.OrdinalIgnoreCase))
            return false;
        _next++;
        return true;
    }

    private void Expect(string word)
    {
        if (!Take(word))
            throw Ahead is { } token ? Unexpected(token, word) : Ended(word);
    }

    private MlflowRefusal Unexpected(Token token, string expected) =>
        MlflowRefusal.Invalid($"Invalid filter string '{_text}': found '{token.Text}' at position {token.At + 1}, expected {expected}");

    private MlflowRefusal Ended(string expected) => MlflowRefusal.Invalid($"Invalid filter string '{_text}': it ends where {expected} is expected");

    private static IEnumerable<Token> Lex(string text)
    {
        for (var at = 0; at < text.Length;)
        {
            var (start, letter) = (at, text[at]);
            if (char.IsWhiteSpace(letter))
            {
                at++;
            }
            else if (letter is '\'' or '"' or '`')
            {
                var end = text.IndexOf(letter, at + 1);
                if (end < 0)
                    throw MlflowRefusal.Invalid($"Invalid filter string '{text}': the quote at position {at + 1} is never closed");
                at = end + 1;
                yield return new Token(TokenKind.Quoted, text[(start + 1)..end], start, letter);
            }
            else if (char.IsAsciiDigit(letter) || (letter is '-' or '+' or '.' && at + 1 < text.Length && (char.IsAsciiDigit(text[at + 1]) || text[at + 1] == '.')))
            {
                at++;
                while (at < text.Length && (char.IsAsciiLetterOrDigit(text[at]) || text[at] == '.' || (text[at] is '-' or '+' && text[at - 1] is 'e' or 'E')))
                    at++;
                var number = text[start..at];
                yield return new Token(double.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out _) ? TokenKind.Number : TokenKind.Word, number, start);
            }
            else if (char.IsLetter(letter) || letter == '_')
            {
                while (at < text.Length && (char.IsLetterOrDigit(text[at]) || text[at] is '_' or '.' or '-' or '/'))
                    at++;
                yield return new Token(TokenKind.Word, text[start..at], start);
            }
            else
            {
                at += at + 1 < text.Length && text.AsSpan(at, 2) is "!=" or "<=" or ">=" or "<>" or "==" ? 2 : 1;
                yield return new Token(TokenKind.Sign, text[start..at], start);
            }
        }
    }

    private enum TokenKind
    {
        Word,
        Quoted,
        Number,
        Sign,
    }

    private readonly record struct Token(TokenKind Kind, string Text, int At, char Quote = '\0');
}

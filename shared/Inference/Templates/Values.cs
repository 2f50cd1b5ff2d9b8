using System.Globalization;
using System.Text;

namespace Qbb.Inference.Templates;

/// <summary>A name, member or item that does not exist: empty when it is printed, an error in most other uses.</summary>
internal sealed record Undefined(string Name)
{
    public static Undefined Of(string name) => new(name);
}

/// <summary>A list or a tuple.</summary>
internal sealed class Sequence(List<object?> items, bool isTuple = false)
{
    public List<object?> Items => items;

    public bool IsTuple => isTuple;

    /// <summary>How deep lists and mappings are nested: what walks through them recurses.</summary>
    public int Depth { get; } = Values.Nested(items);
}

/// <summary>What has members that are worked out.</summary>
internal interface IMembers
{
    object? Member(string name);
}

/// <summary>What namespace() makes: members that blocks within may set.</summary>
internal sealed class Namespace : IMembers
{
    public Dictionary<string, object?> Members { get; } = new(StringComparer.Ordinal);

    public object? Member(string name) => Members.TryGetValue(name, out var value) ? value : Undefined.Of(name);
}

/// <summary>A dict: keys of any plain type, in the order in which they came.</summary>
internal sealed class Mapping
{
    private readonly Dictionary<object, int> _places = [];
    private readonly List<KeyValuePair<object?, object?>> _entries = [];

    public IReadOnlyList<KeyValuePair<object?, object?>> Entries => _entries;

    public int Depth { get; private set; } = 1;

    public bool TryGet(object? key, out object? value)
    {
        var found = Key(key) is { } plain && _places.TryGetValue(plain, out var place) ? place : -1;
        value = found < 0 ? null : _entries[found].Value;
        return found >= 0;
    }

    public void Set(object? key, object? value, int line)
    {
        var plain = Key(key) ?? throw new TemplateException($"{Values.TypeOf(key)} cannot be a key", line);
        Depth = Math.Max(Depth, Values.Nested([value]));
        if (_places.TryGetValue(plain, out var place))
        {
            _entries[place] = new(_entries[place].Key, value);
            return;
        }
        _places.Add(plain, _entries.Count);
        _entries.Add(new(key, value));
    }

    // 1, 1.0 and True are one key, as in Python.
    private static object? Key(object? key) => key switch
    {
        string text => text,
        long number => (double)number,
        double number => number,
        bool flag => flag ? 1.0 : 0.0,
        null => typeof(void),
        _ => null,
    };
}

/// <summary>
/// Python's view of values: null is None; bool, long, double and string are themselves; beside these <see cref="Sequence"/>, <see cref="Mapping"/>,
/// <see cref="Undefined"/>, <see cref="Function"/> and what has members.
/// </summary>
internal static class Values
{
    private const int MostDepth = 100, MostCharacters = 8 << 20;

    /// <summary>The depth of what holds these items.</summary>
    /// <exception cref="TemplateException">They are too deep.</exception>
    public static int Nested(IEnumerable<object?> items)
    {
        var deepest = 0;
        foreach (var item in items)
            deepest = Math.Max(deepest, item switch { Sequence sequence => sequence.Depth, Mapping mapping => mapping.Depth, _ => 0 });
        return deepest < MostDepth ? deepest + 1 : throw new TemplateException($"lists are more than {MostDepth} levels deep");
    }

    public static bool IsTrue(object? value) => value switch
    {
        null or Undefined => false,
        bool flag => flag,
        long number => number != 0,
        double number => number != 0,
        string text => text.Length > 0,
        Sequence sequence => sequence.Items.Count > 0,
        Mapping mapping => mapping.Entries.Count > 0,
        _ => true,
    };

    public static string TypeOf(object? value) => value switch
    {
        null => "none",
        Undefined => "an undefined value",
        bool => "a boolean",
        long => "an integer",
        double => "a float",
        string => "a string",
        Sequence => "a list",
        Mapping => "a mapping",
        Function => "a function",
        _ => "an object",
    };

    /// <summary>Python's str().</summary>
    public static string Text(object? value) => value switch
    {
        string text => text,
        Undefined => "",
        _ => Spelled(value),
    };

    /// <summary>Python's repr().</summary>
    /// <exception cref="TemplateException">It is too long.</exception>
    public static string Spelled(object? value)
    {
        var text = new StringBuilder();
        Spell(value, text);
        return $"{text}";
    }

    private static void Spell(object? value, StringBuilder text)
    {
        if (text.Length > MostCharacters)
            throw new TemplateException($"makes a text of more than {MostCharacters} characters");
        switch (value)
        {
            case string plain:
                text.Append(Quoted(plain));
                break;
            case Sequence sequence:
                text.Append(sequence.IsTuple ? '(' : '[');
                foreach (var (k, item) in sequence.Items.Index())
                    Spell(item, k == 0 ? text : text.Append(", "));
                text.Append(sequence is { IsTuple: true, Items.Count: 1 } ? "," : "").Append(sequence.IsTuple ? ')' : ']');
                break;
            case Mapping mapping:
                text.Append('{');
                foreach (var (k, entry) in mapping.Entries.Index())
                {
                    Spell(entry.Key, k == 0 ? text : text.Append(", "));
                    Spell(entry.Value, text.Append(": "));
                }
                text.Append('}');
                break;
            default:
                text.Append(value switch
                {
                    null => "None",
                    Undefined => "Undefined",
                    bool flag => flag ? "True" : "False",
                    long number => number.ToString(CultureInfo.InvariantCulture),
                    double number => Number(number),
                    Function function => $"<function {function.Name}>",
                    _ => "<object>",
                });
                break;
        }
    }

    /// <summary>A float as Python writes it: the shortest digits that give it back.</summary>
    public static string Number(double number)
    {
        if (!double.IsFinite(number))
            return double.IsNaN(number) ? "nan" : number > 0 ? "inf" : "-inf";
        var sign = double.IsNegative(number) ? "-" : "";
        var parts = Math.Abs(number).ToString("R", CultureInfo.InvariantCulture).Split('E');
        var point = parts[0].IndexOf('.') is >= 0 and var place ? place : parts[0].Length;
        var all = parts[0].Replace(".", "", StringComparison.Ordinal);
        var digits = all.TrimStart('0');
        var exponent = point - 1 - (all.Length - digits.Length) + (parts.Length > 1 ? int.Parse(parts[1], CultureInfo.InvariantCulture) : 0);
        digits = digits.TrimEnd('0');
        if (digits.Length == 0)
            return sign + "0.0";
        if (exponent is < -4 or >= 16)
            return $"{sign}{digits[0]}{(digits.Length > 1 ? "." + digits[1..] : "")}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";
        if (exponent < 0)
            return $"{sign}0.{new string('0', -exponent - 1)}{digits}";
        return sign + (digits.Length <= exponent + 1 ? digits.PadRight(exponent + 1, '0') + ".0" : $"{digits[..(exponent + 1)]}.{digits[(exponent + 1)..]}");
    }

    /// <summary>The characters of a text, as Python counts them: code points.</summary>
    public static IReadOnlyList<string> Characters(string text) => [.. text.EnumerateRunes().Select(rune => $"{rune}")];

    public static long Length(string text) => text.Length - text.Count(char.IsLowSurrogate);

    /// <summary>What a loop over the value gets.</summary>
    public static List<object?> Items(object? value, int line) => value switch
    {
        Undefined => [],
        Sequence sequence => sequence.Items,
        Mapping mapping => [.. mapping.Entries.Select(entry => entry.Key)],
        string text => [.. Characters(text)],
        _ => throw new TemplateException($"{TypeOf(value)} has no items", line),
    };

    public static bool AreEqual(object? left, object? right) => (left, right) switch
    {
        (Undefined, Undefined) => true,
        (string a, string b) => a == b,
        (Sequence a, Sequence b) => a.IsTuple == b.IsTuple && a.Items.Count == b.Items.Count && a.Items.Zip(b.Items).All(pair => AreEqual(pair.First, pair.Second)),
        (Mapping a, Mapping b) => a.Entries.Count == b.Entries.Count && a.Entries.All(entry => b.TryGet(entry.Key, out var other) && AreEqual(entry.Value, other)),
        _ when Numbers.IsNumber(left) && Numbers.IsNumber(right) => Numbers.Order(left, right) == 0,
        _ => left is null ? right is null : ReferenceEquals(left, right),
    };

    /// <summary>==, !=, &lt;, &gt;, &lt;=, &gt;=, in, not in.</summary>
    /// <exception cref="TemplateException">The values have no order, or the right one no items.</exception>
    public static bool Compare(string name, object? left, object? right, int line) => name switch
    {
        "==" => AreEqual(left, right),
        "!=" => !AreEqual(left, right),
        "in" => Contains(right, left, line),
        "not in" => !Contains(right, left, line),
        "<" => Order(left, right, line) < 0,
        ">" => Order(left, right, line) is > 0 and < 2,
        "<=" => Order(left, right, line) <= 0,
        _ => Order(left, right, line) is >= 0 and < 2,
    };

    /// <summary>Below 0, 0 or 1; 2 for what no order holds of (NaN).</summary>
    /// <exception cref="TemplateException">The values have no order.</exception>
    public static int Order(object? left, object? right, int line)
    {
        switch (left, right)
        {
            case (string a, string b):
                return Math.Sign(string.CompareOrdinal(a, b));
            case (Sequence a, Sequence b):
                for (var k = 0; k < Math.Min(a.Items.Count, b.Items.Count); k++)
                {
                    if (!AreEqual(a.Items[k], b.Items[k]))
                        return Order(a.Items[k], b.Items[k], line);
                }
                return a.Items.Count.CompareTo(b.Items.Count);
            default:
                return Numbers.IsNumber(left) && Numbers.IsNumber(right) ? Numbers.Order(left, right)
                    : throw new TemplateException($"{TypeOf(left)} and {TypeOf(right)} have no order", line);
        }
    }

    public static bool Contains(object? container, object? item, int line) => container switch
    {
        string text => item is string part ? text.Contains(part, StringComparison.Ordinal) : throw new TemplateException($"a string cannot contain {TypeOf(item)}", line),
        Mapping mapping => mapping.TryGet(item, out _),
        Sequence or Undefined => Items(container, line).Exists(other => AreEqual(other, item)),
        _ => throw new TemplateException($"{TypeOf(container)} has no items", line),
    };

    private static string Quoted(string text)
    {
        var quote = text.Contains('\'') && !text.Contains('"') ? '"' : '\'';
        var quoted = new StringBuilder().Append(quote);
        foreach (var rune in text.EnumerateRunes())
        {
            _ = rune.Value switch
            {
                '\n' => quoted.Append("\\n"),
                '\r' => quoted.Append("\\r"),
                '\t' => quoted.Append("\\t"),
                '\\' => quoted.Append("\\\\"),
                _ when rune.Value == quote => quoted.Append('\\').Append(quote),
                < 32 or 127 => quoted.Append(CultureInfo.InvariantCulture, $"\\x{rune.Value:x2}"),
                _ => quoted.Append(rune),
            };
        }
        return $"{quoted.Append(quote)}";
    }
}

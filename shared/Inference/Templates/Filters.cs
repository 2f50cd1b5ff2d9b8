using System.Globalization;
using System.Text;

namespace Qbb.Inference.Templates;

/// <summary>The filters that are known.</summary>
internal static class Filters
{
    public static IReadOnlyDictionary<string, Func<object?, Arguments.Call, object?>> All { get; } = new Dictionary<string, Func<object?, Arguments.Call, object?>>(StringComparer.Ordinal)
    {
        ["abs"] = (value, call) => value is long number ? Math.Abs(number) : Math.Abs(Numbers.Real(Number(value, call))),
        ["capitalize"] = (value, call) => Members.Capitalized(Values.Text(value)),
        ["count"] = Length,
        ["d"] = Default,
        ["default"] = Default,
        ["dictsort"] = SortedEntries,
        ["e"] = Escaped,
        ["escape"] = Escaped,
        ["first"] = (value, call) => call.Items(value) is [var first, ..] ? first : Undefined.Of("the first item"),
        ["float"] = (value, call) => Float(value, call.Get(0, "default", 0.0)),
        ["format"] = (value, call) => Formatting.Apply(Values.Text(value), call.Positional, call.Context, call.Line),
        ["groupby"] = Grouped,
        ["indent"] = Indented,
        ["int"] = (value, call) => Integer(value, call.Get(0, "default", 0L)),
        ["items"] = (value, call) => value is Mapping mapping ? Members.Pairs(mapping) : value is Undefined ? new Sequence([]) : throw call.Error($"takes a mapping, not {Values.TypeOf(value)}"),
        ["join"] = (value, call) => call.Join(Values.Text(call.Takes("d", "attribute").Get(0, "d", "")), [.. Attributes(call.Items(value), call.Get(1, "attribute"), call).Select(Values.Text)]),
        ["last"] = (value, call) => call.Items(value) is [.., var last] ? last : Undefined.Of("the last item"),
        ["length"] = Length,
        ["list"] = (value, call) => new Sequence([.. call.Items(value)]),
        ["lower"] = (value, call) => Values.Text(value).ToLowerInvariant(),
        ["map"] = Mapped,
        ["max"] = (value, call) => Extreme(value, call, 1),
        ["min"] = (value, call) => Extreme(value, call, -1),
        ["reject"] = (value, call) => new Sequence([.. call.Items(value).Where(item => !Passes(item, call, 0))]),
        ["rejectattr"] = (value, call) => new Sequence([.. call.Items(value).Where(item => !Passes(Attribute(item, call.Get(0, "attribute"), call), call, 1))]),
        ["replace"] = (value, call) => Members.Replaced(Values.Text(value), call.Takes("old", "new", "count")),
        ["reverse"] = (value, call) => value is string text ? string.Concat(Values.Characters(text).Reverse()) : new Sequence([.. Enumerable.Reverse(call.Items(value))]),
        ["round"] = Rounded,
        ["safe"] = (value, call) => value,
        ["select"] = (value, call) => new Sequence([.. call.Items(value).Where(item => Passes(item, call, 0))]),
        ["selectattr"] = (value, call) => new Sequence([.. call.Items(value).Where(item => Passes(Attribute(item, call.Get(0, "attribute"), call), call, 1))]),
        ["sort"] = Sorted,
        ["string"] = (value, call) => Values.Text(value),
        ["sum"] = (value, call) => Attributes(call.Items(value), call.Get(0, "attribute"), call).Aggregate(call.Get(1, "start", 0L), (sum, item) => Numbers.Apply("+", sum, item, call.Context, call.Line)),
        ["title"] = (value, call) => Members.Titled(Values.Text(value)),
        ["tojson"] = (value, call) => JsonValues.Write(value, call),
        ["trim"] = (value, call) => Members.Stripped(Values.Text(value), call, start: true, end: true),
        ["unique"] = Distinct,
        ["upper"] = (value, call) => Values.Text(value).ToUpperInvariant(),
        ["urlencode"] = (value, call) => Uri.EscapeDataString(Values.Text(value)).Replace("%2F", "/", StringComparison.Ordinal),
        ["wordcount"] = (value, call) => (long)Values.Text(value).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length,
    };

    private static object Number(object? value, Arguments.Call call) => Numbers.IsNumber(value) ? value! : throw call.Error($"takes a number, not {Values.TypeOf(value)}");

    private static object? Length(object? value, Arguments.Call call) => value is string text ? Values.Length(text) : (long)call.Items(value).Count;

    private static object? Default(object? value, Arguments.Call call) =>
        value is Undefined || (call.Takes("default_value", "boolean").Flag(1, "boolean", false) && !Values.IsTrue(value)) ? call.Get(0, "default_value", "") : value;

    private static object? Escaped(object? value, Arguments.Call call) => call.Checked(Values.Text(value).Replace("&", "&amp;", StringComparison.Ordinal)
        .Replace("<", "&lt;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal).Replace("'", "&#39;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal));

    private static object? Float(object? value, object? otherwise) => value switch
    {
        _ when Numbers.IsNumber(value) => Numbers.Real(value),
        string text when double.TryParse(text.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture, out var number) => number,
        _ => otherwise,
    };

    private static object? Integer(object? value, object? otherwise) => value switch
    {
        long number => number,
        bool flag => flag ? 1L : 0L,
        double number when Math.Abs(number) < 9e18 => (long)Math.Truncate(number),
        string text when long.TryParse(text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) => number,
        string text when Float(text, null) is double number && Math.Abs(number) < 9e18 => (long)Math.Truncate(number),
        _ => otherwise,
    };

    private static object? Rounded(object? value, Arguments.Call call)
    {
        var (number, digits) = (Numbers.Real(Number(value, call.Takes("precision", "method"))), call.Integer(0, "precision", 0));
        var scale = Math.Pow(10, Math.Clamp(digits, -30, 30));
        return call.Text(1, "method", "common") switch
        {
            "common" => digits is >= 0 and <= 15 ? Math.Round(number, (int)digits, MidpointRounding.ToEven) : Math.Round(number * scale) / scale,
            "ceil" => Math.Ceiling(number * scale) / scale,
            "floor" => Math.Floor(number * scale) / scale,
            var other => throw call.Error($"unknown method {other}; known are common, ceil and floor"),
        };
    }

    private static object? Indented(object? value, Arguments.Call call)
    {
        call.Takes("width", "first", "blank");
        var indent = call.Get(0, "width", 4L) is string text ? text : new string(' ', (int)Math.Clamp(call.Integer(0, "width", 4), 0, 1000));
        var (first, blank) = (call.Flag(1, "first", false), call.Flag(2, "blank", false));
        // Jinja adds a line break and takes splitlines, so that a last empty line stays.
        var lines = Members.Lines(Values.Text(value) + "\n").ToList();
        var made = new StringBuilder();
        for (var k = 0; k < lines.Count; k++)
        {
            made.Append(k > 0 ? "\n" : "").Append(k == 0 && !first || (lines[k].Length == 0 && !blank && k > 0) ? "" : indent).Append(lines[k]);
            call.Context.Check(made.Length, call.Line);
        }
        return $"{made}";
    }

    /// <summary>An attribute by its path, such as function.name or 0.</summary>
    private static object? Attribute(object? item, object? path, Arguments.Call call)
    {
        foreach (var part in path is long place ? [place] : (path as string ?? throw call.Error("attribute is missing")).Split('.').Select(part => long.TryParse(part, out var number) ? (object)number : part))
            item = item is Undefined ? item : Members.Indexed(item, part);
        return item;
    }

    private static IEnumerable<object?> Attributes(IEnumerable<object?> items, object? path, Arguments.Call call) => path is null ? items : items.Select(item => Attribute(item, path, call));

    private static Arguments.Call Rest(Arguments.Call call, string name, int from)
    {
        var rest = new Arguments.Call(name, call.Context, call.Line);
        rest.Positional.AddRange(call.Positional.Skip(from));
        return rest;
    }

    /// <summary>Whether a test holds that the arguments name; without one, whether the value is true.</summary>
    private static bool Passes(object? value, Arguments.Call call, int from)
    {
        using var level = call.Context.Enter(call.Line);
        return call.Positional.Count <= from ? Values.IsTrue(value)
            : Values.IsTrue(Filtered.Apply(value, call.Text(from, "test"), Rest(call, call.Text(from, "test"), from + 1), isTest: true));
    }

    private static object? Mapped(object? value, Arguments.Call call)
    {
        if (call.Named.TryGetValue("attribute", out var path))
        {
            call.Named.TryGetValue("default", out var usual);
            return new Sequence([.. Attributes(call.Items(value), path, call).Select(item => item is Undefined && call.Named.ContainsKey("default") ? usual : item)]);
        }
        var name = call.Text(0, "filter");
        var rest = Rest(call, name, 1);
        foreach (var (key, argument) in call.Named)
            rest.Named[key] = argument;
        return new Sequence([.. call.Items(value).Select(item => Filtered.Apply(item, name, rest, isTest: false))]);
    }

    private static object? Folded(object? key, bool caseSensitive) => key is string text && !caseSensitive ? text.ToLowerInvariant() : key;

    private static List<object?> InOrder(IEnumerable<object?> items, Func<object?, object?> key, bool reverse, Arguments.Call call)
    {
        var order = Comparer<object?>.Create((a, b) => Values.Order(a, b, call.Line));
        return [.. reverse ? items.OrderByDescending(key, order) : items.OrderBy(key, order)];
    }

    private static object? Sorted(object? value, Arguments.Call call)
    {
        call.Takes("reverse", "case_sensitive", "attribute");
        var (caseSensitive, path) = (call.Flag(1, "case_sensitive", false), call.Get(2, "attribute"));
        return new Sequence(InOrder(call.Items(value), item => Folded(path is null ? item : Attribute(item, path, call), caseSensitive), call.Flag(0, "reverse", false), call));
    }

    private static object? SortedEntries(object? value, Arguments.Call call)
    {
        call.Takes("case_sensitive", "by", "reverse");
        var (caseSensitive, place) = (call.Flag(0, "case_sensitive", false), call.Text(1, "by", "key") == "value" ? 1 : 0);
        var pairs = value is Mapping mapping ? Members.Pairs(mapping) : throw call.Error($"takes a mapping, not {Values.TypeOf(value)}");
        return new Sequence(InOrder(pairs.Items, pair => Folded(((Sequence)pair!).Items[place], caseSensitive), call.Flag(2, "reverse", false), call));
    }

    private static object? Grouped(object? value, Arguments.Call call)
    {
        object? Key(object? item) => Attribute(item, call.Get(0, "attribute"), call);
        var groups = new List<(object? Key, List<object?> Members)>();
        foreach (var item in InOrder(call.Items(value), Key, false, call))
        {
            if (groups is [.., var last] && Values.AreEqual(last.Key, Key(item)))
                last.Members.Add(item);
            else
                groups.Add((Key(item), [item]));
        }
        return new Sequence([.. groups.Select(group => new Sequence([group.Key, new Sequence(group.Members)], isTuple: true))]);
    }

    private static object? Distinct(object? value, Arguments.Call call)
    {
        call.Takes("case_sensitive", "attribute");
        var (caseSensitive, seen) = (call.Flag(0, "case_sensitive", false), new HashSet<object>());
        return new Sequence([.. call.Items(value).Where(item =>
        {
            var key = Folded(call.Get(1, "attribute") is { } path ? Attribute(item, path, call) : item, caseSensitive);
            return seen.Add(Numbers.IsNumber(key) ? Numbers.Real(key) : Values.Spelled(key));
        })]);
    }

    private static object? Extreme(object? value, Arguments.Call call, int sign)
    {
        call.Takes("case_sensitive", "attribute");
        object? Key(object? item) => Folded(call.Get(1, "attribute") is { } path ? Attribute(item, path, call) : item, call.Flag(0, "case_sensitive", false));
        var items = call.Items(value);
        return items.Count == 0 ? Undefined.Of("an item of an empty list") : items.Aggregate((best, item) => Values.Order(Key(item), Key(best), call.Line) * sign > 0 ? item : best);
    }
}

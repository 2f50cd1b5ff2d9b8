using System.Text;

namespace Qbb.Inference.Templates;

/// <summary>Members, items and methods of values, as far as nothing is changed by them.</summary>
internal static class Members
{
    private static readonly string[] s_changing = ["append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "update", "setdefault", "popitem", "add"];

    /// <summary>value.name: methods come before items, as in Jinja.</summary>
    public static object? Dotted(object? value, string name) => value switch
    {
        IMembers members => members.Member(name),
        Mapping mapping => Method(mapping, name) is { } method ? method : mapping.TryGet(name, out var item) ? item : Changing(value, name),
        Sequence sequence => Method(sequence, name) is { } method ? method : Changing(value, name),
        string text => Method(text, name) is { } method ? method : Undefined.Of(name),
        _ => Undefined.Of(name),
    };

    /// <summary>value[key]: items come before methods.</summary>
    public static object? Indexed(object? value, object? key)
    {
        switch (value, key)
        {
            case (Mapping mapping, _) when mapping.TryGet(key, out var item):
                return item;
            case (Sequence sequence, long or bool):
                return At(sequence.Items, key);
            case (string text, long or bool):
                return At(Values.Characters(text), key);
            default:
                return key is string name ? Dotted(value, name) : Undefined.Of(Values.Text(key));
        }
    }

    private static object? At<T>(IReadOnlyList<T> items, object? key)
    {
        var place = key is bool flag ? flag ? 1 : 0 : (long)key!;
        place += place < 0 ? items.Count : 0;
        return place >= 0 && place < items.Count ? items[(int)place] : Undefined.Of($"item {Values.Text(key)}");
    }

    private static object Changing(object? value, string name) => s_changing.Contains(name)
        ? new Function(name, call => throw call.Error($"{Values.TypeOf(value)} cannot be changed by a template"))
        : Undefined.Of(name);

    private static Function? Method(Mapping mapping, string name) => name switch
    {
        "items" => new(name, call => Pairs(mapping)),
        "keys" => new(name, call => new Sequence([.. mapping.Entries.Select(entry => entry.Key)])),
        "values" => new(name, call => new Sequence([.. mapping.Entries.Select(entry => entry.Value)])),
        "get" => new(name, call => mapping.TryGet(call.Takes("key", "default").Get(0, "key"), out var item) ? item : call.Get(1, "default")),
        "copy" => new(name, call => mapping),
        _ => null,
    };

    /// <summary>The entries as tuples.</summary>
    public static Sequence Pairs(Mapping mapping) => new([.. mapping.Entries.Select(entry => new Sequence([entry.Key, entry.Value], isTuple: true))]);

    private static Function? Method(Sequence sequence, string name) => name switch
    {
        "index" => new(name, call => sequence.Items.FindIndex(item => Values.AreEqual(item, call.Takes("value").Get(0, "value"))) is >= 0 and var place ? (long)place : throw call.Error("the value is not in the list")),
        "count" => new(name, call => (long)sequence.Items.Count(item => Values.AreEqual(item, call.Takes("value").Get(0, "value")))),
        "copy" => new(name, call => sequence),
        _ => null,
    };

    private static Function? Method(string text, string name)
    {
        Func<Arguments.Call, object?>? body = name switch
        {
            "lower" => call => text.ToLowerInvariant(),
            "upper" => call => text.ToUpperInvariant(),
            "capitalize" => call => Capitalized(text),
            "title" => call => Titled(text),
            "swapcase" => call => string.Concat(text.Select(character => char.IsUpper(character) ? char.ToLowerInvariant(character) : char.ToUpperInvariant(character))),
            "strip" => call => Stripped(text, call, start: true, end: true),
            "lstrip" => call => Stripped(text, call, start: true, end: false),
            "rstrip" => call => Stripped(text, call, start: false, end: true),
            "startswith" => call => Affixes(call).Any(affix => text.StartsWith(affix, StringComparison.Ordinal)),
            "endswith" => call => Affixes(call).Any(affix => text.EndsWith(affix, StringComparison.Ordinal)),
            "removeprefix" => call => call.Text(0, "prefix") is var prefix && text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : text,
            "removesuffix" => call => call.Text(0, "suffix") is var suffix && suffix.Length > 0 && text.EndsWith(suffix, StringComparison.Ordinal) ? text[..^suffix.Length] : text,
            "find" => call => Place(text, text.IndexOf(call.Text(0, "sub"), StringComparison.Ordinal)),
            "rfind" => call => Place(text, text.LastIndexOf(call.Text(0, "sub"), StringComparison.Ordinal)),
            "index" => call => text.IndexOf(call.Text(0, "sub"), StringComparison.Ordinal) is >= 0 and var place ? Place(text, place) : throw call.Error("the text does not contain it"),
            "count" => call => Count(text, call.Text(0, "sub")),
            "replace" => call => Replaced(text, call.Takes("old", "new", "count")),
            "split" => call => Split(text, call.Takes("sep", "maxsplit"), fromEnd: false),
            "rsplit" => call => Split(text, call.Takes("sep", "maxsplit"), fromEnd: true),
            "splitlines" => call => new Sequence([.. Lines(text)]),
            "partition" => call => Partitioned(text, call.Text(0, "sep"), text.IndexOf(call.Text(0, "sep"), StringComparison.Ordinal), false),
            "rpartition" => call => Partitioned(text, call.Text(0, "sep"), text.LastIndexOf(call.Text(0, "sep"), StringComparison.Ordinal), true),
            "join" => call => call.Join(text, [.. call.Items(call.Get(0, "iterable")).Select(item => item as string ?? throw call.Error($"{Values.TypeOf(item)} is not a string"))]),
            "isdigit" or "isnumeric" or "isdecimal" => call => text.Length > 0 && text.All(char.IsDigit),
            "isalpha" => call => text.Length > 0 && text.All(char.IsLetter),
            "isalnum" => call => text.Length > 0 && text.All(char.IsLetterOrDigit),
            "isspace" => call => text.Length > 0 && text.All(char.IsWhiteSpace),
            "islower" => call => text.Any(char.IsLetter) && !text.Any(char.IsUpper),
            "isupper" => call => text.Any(char.IsLetter) && !text.Any(char.IsLower),
            "zfill" => call => Filled(text, call),
            _ => null,
        };
        return body is null ? null : new(name, body);
    }

    public static string Capitalized(string text) => text.Length == 0 ? "" : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    public static string Titled(string text)
    {
        var titled = new StringBuilder(text.Length);
        foreach (var character in text)
            titled.Append(titled.Length > 0 && char.IsLetter(titled[^1]) ? char.ToLowerInvariant(character) : char.ToUpperInvariant(character));
        return $"{titled}";
    }

    public static string Stripped(string text, Arguments.Call call, bool start, bool end)
    {
        call.Takes("chars");
        var characters = call.Get(0, "chars") is null ? null : call.Text(0, "chars").ToCharArray();
        if (start)
            text = characters is null ? text.TrimStart() : text.TrimStart(characters);
        return !end ? text : characters is null ? text.TrimEnd() : text.TrimEnd(characters);
    }

    public static string Replaced(string text, Arguments.Call call)
    {
        var (old, now, count) = (call.Text(0, "old"), call.Text(1, "new"), call.Get(2, "count") is null ? -1 : call.Integer(2, "count", -1));
        var made = new StringBuilder();
        var at = 0;
        for (var done = 0; count < 0 || done < count; done++)
        {
            var next = old.Length == 0 ? done == 0 ? 0 : at + 1 : text.IndexOf(old, at, StringComparison.Ordinal);
            if (next < 0 || next > text.Length)
                break;
            made.Append(text, at, next - at).Append(now);
            call.Context.Check(made.Length, call.Line);
            at = next + old.Length;
        }
        return call.Checked($"{made.Append(text, at, text.Length - at)}");
    }

    public static IEnumerable<string> Lines(string text)
    {
        var lines = text.ReplaceLineEndings("\n").Split('\n');
        return lines[^1].Length == 0 ? lines[..^1] : lines;
    }

    private static IEnumerable<string> Affixes(Arguments.Call call) => call.Takes("prefix").Get(0, "prefix") switch
    {
        string text => [text],
        Sequence { IsTuple: true } sequence => sequence.Items.Select(item => item as string ?? throw call.Error($"{Values.TypeOf(item)} is not a string")),
        var other => throw call.Error($"takes a string, not {Values.TypeOf(other)}"),
    };

    private static long Place(string text, int place) => place < 0 ? -1 : Values.Length(text[..place]);

    private static long Count(string text, string part)
    {
        if (part.Length == 0)
            return Values.Length(text) + 1;
        var count = 0L;
        for (var k = text.IndexOf(part, StringComparison.Ordinal); k >= 0; k = text.IndexOf(part, k + part.Length, StringComparison.Ordinal))
            count++;
        return count;
    }

    private static Sequence Split(string text, Arguments.Call call, bool fromEnd)
    {
        var most = call.Integer(1, "maxsplit", -1);
        var parts = new List<object?>();
        if (call.Get(0, "sep") is null)
        {
            var words = new List<(int From, int To)>();
            for (var k = 0; k < text.Length;)
            {
                var from = k;
                while (k < text.Length && char.IsWhiteSpace(text[k]) == char.IsWhiteSpace(text[from]))
                    k++;
                if (!char.IsWhiteSpace(text[from]))
                    words.Add((from, k));
            }
            var count = most < 0 ? words.Count : (int)Math.Min(most, words.Count);
            if (fromEnd)
            {
                if (count < words.Count)
                    parts.Add(text[words[0].From..words[^(count + 1)].To]);
                parts.AddRange(words.TakeLast(count).Select(word => text[word.From..word.To]));
                return new(parts);
            }
            parts.AddRange(words.Take(count).Select(word => text[word.From..word.To]));
            if (count < words.Count)
                parts.Add(text[words[count].From..]);
            return new(parts);
        }
        var separator = call.Text(0, "sep");
        if (separator.Length == 0)
            throw call.Error("the separator is empty");
        for (var left = most; left != 0; left--)
        {
            var next = fromEnd ? text.LastIndexOf(separator, StringComparison.Ordinal) : text.IndexOf(separator, StringComparison.Ordinal);
            if (next < 0)
                break;
            parts.Add(fromEnd ? text[(next + separator.Length)..] : text[..next]);
            text = fromEnd ? text[..next] : text[(next + separator.Length)..];
        }
        parts.Add(text);
        if (fromEnd)
            parts.Reverse();
        return new(parts);
    }

    private static Sequence Partitioned(string text, string separator, int at, bool fromEnd) => new(at >= 0 ? [text[..at], separator, text[(at + separator.Length)..]]
        : fromEnd ? ["", "", text] : [text, "", ""], isTuple: true);

    private static string Filled(string text, Arguments.Call call)
    {
        var width = call.Takes("width").Integer(0, "width", 0);
        call.Context.Check(width, call.Line);
        var sign = text.Length > 0 && text[0] is '+' or '-' ? 1 : 0;
        return text[..sign] + text[sign..].PadLeft((int)Math.Max(0, width) - sign, '0');
    }
}

using System.Globalization;
using System.Text;

namespace Qbb.Inference.Templates;

/// <summary>The functions that templates call: Jinja's, and the two that transformers adds.</summary>
internal static class Builtins
{
    public static void AddTo(Scope scope)
    {
        void Add(string name, Func<Arguments.Call, object?> body) => scope.Set(name, new Function(name, body));
        Add("range", Range);
        Add("dict", call =>
        {
            var mapping = new Mapping();
            foreach (var (key, value) in call.Named)
                mapping.Set(key, value, call.Line);
            return mapping;
        });
        Add("namespace", call =>
        {
            var made = new Namespace();
            if (call.Positional is [Mapping from])
            {
                foreach (var (key, value) in from.Entries)
                    made.Members[Values.Text(key)] = value;
            }
            foreach (var (key, value) in call.Named)
                made.Members[key] = value;
            return made;
        });
        Add("cycler", call => call.Positional.Count == 0 ? throw call.Error("no items") : new Cycler(call.Positional));
        Add("joiner", call =>
        {
            var (separator, isUsed) = (call.Text(0, "sep", ", "), false);
            return new Function("joiner", _ =>
            {
                var now = isUsed ? separator : "";
                isUsed = true;
                return now;
            });
        });
        Add("raise_exception", call => throw new TemplateRefusedException(Values.Text(call.Get(0, "message"))));
        Add("strftime_now", call => Time(call.Text(0, "format"), call.Context.Clock.GetLocalNow(), call));
    }

    private static Sequence Range(Arguments.Call call)
    {
        var places = call.Positional.Select(value => value is long number ? number : throw call.Error($"takes integers, not {Values.TypeOf(value)}")).ToList();
        var (from, to, step) = places switch
        {
            [var end] => (0L, end, 1L),
            [var start, var end] => (start, end, 1L),
            [var start, var end, var by] when by != 0 => (start, end, by),
            _ => throw call.Error("takes one to three integers, the step not being 0"),
        };
        var count = step > 0 ? to <= from ? 0 : ((Int128)to - from + step - 1) / step : to >= from ? 0 : ((Int128)from - to - step - 1) / -step;
        // As Jinja's sandbox has it.
        if (count > 100_000)
            throw call.Error("more than 100000 numbers");
        return new([.. Enumerable.Range(0, (int)count).Select(k => (object?)(from + k * step))]);
    }

    /// <summary>C's strftime, as far as it does not depend on a language.</summary>
    private static string Time(string format, DateTimeOffset now, Arguments.Call call)
    {
        var text = new StringBuilder();
        for (var k = 0; k < format.Length; k++)
        {
            if (format[k] != '%' || k + 1 == format.Length)
            {
                text.Append(format[k]);
                continue;
            }
            // Without zeros in front.
            var isShort = format[++k] == '-' && k + 1 < format.Length;
            var written = format[isShort ? ++k : k] switch
            {
                'd' => "dd",
                'm' => "MM",
                'y' => "yy",
                'Y' => "yyyy",
                'H' => "HH",
                'I' => "hh",
                'M' => "mm",
                'S' => "ss",
                'b' or 'h' => "MMM",
                'B' => "MMMM",
                'a' => "ddd",
                'A' => "dddd",
                'p' => "tt",
                'F' => "yyyy-MM-dd",
                'T' => "HH:mm:ss",
                'D' => "MM/dd/yy",
                'R' => "HH:mm",
                'f' => "ffffff",
                'j' => $"'{now.DayOfYear:000}'",
                'Z' => "'UTC'",
                'z' => "'" + now.ToString("zzz", CultureInfo.InvariantCulture).Replace(":", "", StringComparison.Ordinal) + "'",
                '%' => "'%'",
                'n' => "'\n'",
                't' => "'\t'",
                var other => throw call.Error($"the directive %{other} is not known"),
            };
            var part = now.ToString(written.Length == 1 ? "%" + written : written, CultureInfo.InvariantCulture);
            text.Append(isShort ? part.TrimStart('0') is { Length: > 0 } trimmed ? trimmed : "0" : part);
        }
        return $"{text}";
    }

    private sealed class Cycler(List<object?> items) : IMembers
    {
        private int _at;

        public object? Member(string name) => name switch
        {
            "current" => items[_at],
            "next" => new Function(name, _ =>
            {
                var now = items[_at];
                _at = (_at + 1) % items.Count;
                return now;
            }),
            "reset" => new Function(name, _ =>
            {
                _at = 0;
                return null;
            }),
            _ => Undefined.Of(name),
        };
    }
}

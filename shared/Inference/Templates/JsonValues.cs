using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Inference.Templates;

/// <summary>JSON in and out, as Python's json module has it.</summary>
internal static class JsonValues
{
    public static object? Read(JsonNode? node)
    {
        switch (node)
        {
            case null:
                return null;
            case JsonArray array:
                return new Sequence([.. array.Select(Read)]);
            case JsonObject members:
                var mapping = new Mapping();
                foreach (var (name, value) in members)
                    mapping.Set(name, Read(value), 0);
                return mapping;
            default:
                return node.GetValueKind() switch
                {
                    JsonValueKind.String => node.GetValue<string>(),
                    JsonValueKind.True => true,
                    JsonValueKind.False => false,
                    JsonValueKind.Number => long.TryParse(node.ToJsonString(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? (object)number
                        : double.Parse(node.ToJsonString(), CultureInfo.InvariantCulture),
                    _ => null,
                };
        }
    }

    /// <summary>json.dumps with ensure_ascii=False: transformers' tojson.</summary>
    public static string Write(object? value, Arguments.Call call)
    {
        call.Takes("indent", "ensure_ascii", "separators", "sort_keys");
        var indent = call.Get(0, "indent") switch { null => null, string own => own, _ => new string(' ', (int)Math.Clamp(call.Integer(0, "indent", 0), 0, 100)) };
        var (between, colon) = call.Get(2, "separators") is { } given
            ? call.Items(given) is [string first, string second] ? (first, second) : throw call.Error("separators are two strings")
            : (indent is null ? ", " : ",", ": ");
        var text = new StringBuilder();
        new Writer(text, indent, between, colon, call.Flag(1, "ensure_ascii", false), call.Flag(3, "sort_keys", false), call).Write(value, 0);
        return $"{text}";
    }

    private sealed class Writer(StringBuilder text, string? indent, string between, string colon, bool ascii, bool sorted, Arguments.Call call)
    {
        public void Write(object? value, int depth)
        {
            call.Context.Check(text.Length, call.Line);
            switch (value)
            {
                case Mapping mapping:
                    IEnumerable<KeyValuePair<object?, object?>> entries = mapping.Entries;
                    if (sorted)
                        entries = entries.OrderBy(entry => Key(entry.Key), StringComparer.Ordinal);
                    Group('{', '}', [.. entries], depth, entry =>
                    {
                        Quote(Key(entry.Key));
                        text.Append(colon);
                        Write(entry.Value, depth + 1);
                    });
                    break;
                case Sequence sequence:
                    Group('[', ']', sequence.Items, depth, item => Write(item, depth + 1));
                    break;
                case string plain:
                    Quote(plain);
                    break;
                case double number when !double.IsFinite(number):
                    text.Append(double.IsNaN(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity");
                    break;
                default:
                    text.Append(Plain(value));
                    break;
            }
        }

        private string Plain(object? value) => value switch
        {
            null => "null",
            bool flag => flag ? "true" : "false",
            long or double => Values.Spelled(value),
            Undefined undefined => throw call.Error($"{undefined.Name} is undefined"),
            _ => throw call.Error($"{Values.TypeOf(value)} is not JSON"),
        };

        private string Key(object? key) => key is string text ? text : Plain(key);

        private void Group<T>(char open, char close, IReadOnlyList<T> items, int depth, Action<T> write)
        {
            text.Append(open);
            for (var k = 0; k < items.Count; k++)
            {
                text.Append(k == 0 ? "" : between);
                Break(depth + 1);
                write(items[k]);
            }
            if (items.Count > 0)
                Break(depth);
            text.Append(close);
        }

        private void Break(int depth)
        {
            if (indent is null)
                return;
            text.Append('\n');
            for (var k = 0; k < depth; k++)
                text.Append(indent);
        }

        private void Quote(string plain)
        {
            call.Context.Check(text.Length + plain.Length, call.Line);
            text.Append('"');
            foreach (var character in plain)
            {
                _ = character switch
                {
                    '"' => text.Append("\\\""),
                    '\\' => text.Append("\\\\"),
                    '\n' => text.Append("\\n"),
                    '\r' => text.Append("\\r"),
                    '\t' => text.Append("\\t"),
                    '\b' => text.Append("\\b"),
                    '\f' => text.Append("\\f"),
                    < ' ' => text.Append(CultureInfo.InvariantCulture, $"\\u{(int)character:x4}"),
                    > '~' when ascii => text.Append(CultureInfo.InvariantCulture, $"\\u{(int)character:x4}"),
                    _ => text.Append(character),
                };
            }
            text.Append('"');
        }
    }
}

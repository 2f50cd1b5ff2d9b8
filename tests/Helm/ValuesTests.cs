using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Tests;
using YamlDotNet.Serialization;

namespace Qbb.Helm.Tests;

/// <summary>values.schema.json describes every value with its default; values.yaml has these defaults, and the README's table is made of it.</summary>
public sealed class ValuesTests
{
    private const string Begin = "<!-- values -->\n", End = "<!-- /values -->";

    private static readonly JsonObject s_schema = (JsonObject)JsonNode.Parse(File.ReadAllText(Path.Combine(Chart.Folder, "values.schema.json")))!;

    [Fact]
    public void Defaults_are_those_of_the_schema()
    {
        var plain = new DeserializerBuilder().WithAttemptingUnquotedStringTypeDeserialization().Build().Deserialize<object>(File.ReadAllText(Path.Combine(Chart.Folder, "values.yaml")));
        var values = JsonNode.Parse(new SerializerBuilder().JsonCompatible().Build().Serialize(plain))!;
        var leaves = Leaves(s_schema, "").ToList();
        leaves.Count.ShouldBeGreaterThan(100);
        foreach (var (name, leaf) in leaves)
        {
            leaf["description"].ShouldNotBeNull(name);
            if (name is "global")
                continue;
            leaf.ContainsKey("default").ShouldBeTrue(name);
            JsonNode.DeepEquals(Find(values, name), leaf["default"]).ShouldBeTrue($"{name} is {Find(values, name)?.ToJsonString()} in values.yaml and {leaf["default"]?.ToJsonString()} in values.schema.json");
        }
        // And values.yaml has no more: helm would refuse it, since no object of the schema allows others.
        Chart.Render(3).Text.ShouldNotBeEmpty();
        s_schema["additionalProperties"]!.GetValue<bool>().ShouldBeFalse();
    }

    [Fact]
    public void The_readme_lists_all_values()
    {
        var file = Path.Combine(Chart.Folder, "README.md");
        var text = File.ReadAllText(file);
        var (from, to) = (text.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length, text.IndexOf(End, StringComparison.Ordinal));
        var written = text[from..to];
        var table = Table();
        if (written == table)
            return;
        var draft = Path.Combine(AppContext.BaseDirectory, "README.md");
        File.WriteAllText(draft, text[..from] + table + text[to..]);
        Assert.Fail($"the table of values is not that of values.schema.json: cp {draft} {file}");
    }

    private static string Table()
    {
        var table = new StringBuilder("| value | default | meaning |\n|---|---|---|\n");
        foreach (var (name, leaf) in Leaves(s_schema, "").Where(leaf => leaf.Name != "global"))
            table.Append($"| `{name}` | {(leaf["default"] is JsonObject { Count: 0 } or JsonArray { Count: 0 } || leaf["default"]?.ToJsonString() == "\"\"" ? "" : $"`{Short(leaf["default"])}`")} | {leaf["description"]} |\n");
        return table.ToString();

        static string Short(JsonNode? value) => value is JsonValue text && text.TryGetValue<string>(out var plain) ? plain : value?.ToJsonString(new JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }) ?? "null";
    }

    private static IEnumerable<(string Name, JsonObject Leaf)> Leaves(JsonObject schema, string name)
    {
        // Of workers only the defaults: each worker has the same values.
        if (schema["$ref"] is not null)
            schema = name == "workers.defaults" ? (JsonObject)s_schema["$defs"]!["worker"]! : [];
        return schema["properties"] is JsonObject properties
            ? properties.SelectMany(property => Leaves((JsonObject)property.Value!, name.Length == 0 ? property.Key : $"{name}.{property.Key}"))
            : schema.Count == 0 ? [] : [(name, schema)];
    }

    private static JsonNode? Find(JsonNode? values, string name) => name.Split('.').Aggregate(values, (at, part) => at?[part]);
}

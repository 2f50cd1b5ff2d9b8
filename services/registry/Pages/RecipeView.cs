using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Pages;

/// <summary>A recipe, part by part, and as JSON to copy.</summary>
internal static class RecipeView
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly string[] s_order = ["preset", "decomposition", "sampling", "filter", "distillation", "evaluation", "type"];

    public static Markup Of(JsonElement recipe)
    {
        var parts = recipe.ValueKind == JsonValueKind.Object ? recipe.EnumerateObject().OrderBy(part => Array.IndexOf(s_order, part.Name)).ToList() : [];
        var cards = parts.Select(part => Markup.Of($"""<div class="card"><h3>{Words(part.Name)}</h3>{Choices(part.Value)}</div>"""));
        return Markup.Of($"""
            <div class="cards">{cards}</div>
            <details><summary>As JSON</summary><pre class="command" tabindex="0"><code>{JsonSerializer.Serialize(recipe, s_indented)}</code></pre></details>
            """);
    }

    public static Markup Of(string json) => Of(JsonSerializer.Deserialize<JsonElement>(json));

    private static Markup Choices(JsonElement part)
    {
        if (part.ValueKind == JsonValueKind.String)
            return Markup.Of($"<p>{part.GetString()}</p>");
        var choices = part.ValueKind == JsonValueKind.Object ? part.EnumerateObject().ToList() : [];
        return choices.Count == 0
            ? Markup.Of($"""<p class="quiet">defaults</p>""")
            : Facts(choices.Select(choice => (Words(choice.Name), Value(choice.Value))));
    }

    private static Markup Value(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.True => Text("yes"),
        JsonValueKind.False => Text("no"),
        JsonValueKind.Object when value.EnumerateObject().Count() <= 8 =>
            Text(string.Join(", ", value.EnumerateObject().Select(member => $"{Words(member.Name)} {member.Value}"))),
        JsonValueKind.String when value.GetString() is { Length: 64 } digest => Digest(digest),
        _ => Text(value.ToString()),
    };

    /// <summary>learningRate as people write it: learning rate.</summary>
    private static string Words(string name)
    {
        var words = new StringBuilder();
        foreach (var letter in name)
            words.Append(char.IsUpper(letter) ? " " + char.ToLowerInvariant(letter) : letter);
        return words.ToString();
    }
}

using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Qbb.Recipes;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Policies;

/// <summary>Policies for who does not want to write JSON: the usual choices as fields, all others as the text of a policy.</summary>
internal static class PolicyForms
{
    private static readonly int[] s_bases = [2, 3, 4];
    private static readonly string s_preset = Qbb.Recipes.Preset.Balanced.NameOf();
    private static readonly JsonSerializerOptions s_indented = new(Wire.Json) { WriteIndented = true };

    /// <summary>A new policy by its usual choices.</summary>
    public static Markup Make() => Section("New policy", Markup.Of($"""
        <form method="post" action="/policies" class="fields">
        {NameField("name", "Name", "llamas")}
        <div><label for="models">Models</label><input id="models" name="models" required maxlength="128" value="*" aria-describedby="models-are">
        <span class="note" id="models-are">names; * stands for any characters, ? for one</span></div>
        <fieldset><legend>Bases, a recipe for each</legend>{s_bases.Select(Bases)}</fieldset>
        <div><label for="preset">Preset</label><select id="preset" name="preset" aria-describedby="preset-is">{Presets.Names.Select(Preset)}</select>
        <span class="note" id="preset-is">planned for each model and the workers; weights uses no data</span></div>
        {Number("ratio", "Max. perplexity ratio", "any", "", "perplexity over the teacher’s, for the champion; empty for no limit")}
        {Number("bits", "Max. bits per weight", "any", "", "for the champion; empty for no limit")}
        <div><button>Create policy</button></div></form>
        """), "make");

    /// <summary>Another text for a policy, or its end.</summary>
    public static Markup Change(Policy policy) => Markup.Of($"""
        <details><summary>Change or remove {policy.Name}</summary>
        <form method="post" action="/policies/{policy.Name}" class="text">
        <label for="text-{policy.Name}">All of it, as JSON</label>
        <textarea id="text-{policy.Name}" name="text" rows="18" spellcheck="false" required>{TextOf(policy)}</textarea>
        <button>Save</button> <span class="note">it applies to uploads from then on</span></form>
        <form method="post" action="/policies/{policy.Name}/remove"><button class="plain">Remove {policy.Name}</button></form></details>
        """);

    /// <summary>What the fields of <see cref="Make"/> ask for.</summary>
    /// <exception cref="RefusedException">A field is no number.</exception>
    public static PolicyChange Read(IFormCollection form)
    {
        var preset = form["preset"].ToString();
        var recipes = form["bases"].OfType<string>().Select(bases => new NamedRecipe($"{bases}-bases", Recipe(bases, preset.Length > 0 ? preset : s_preset)));
        var (ratio, bits) = (NumberOf(form, "ratio", "the perplexity ratio"), NumberOf(form, "bits", "the most bits per weight"));
        return new PolicyChange(form["models"].ToString().Trim(), [.. recipes],
            ratio is null && bits is null ? null : new Gate { MaxPerplexityRatio = ratio, MaxBitsPerWeight = bits });
    }

    /// <summary>What the text of <see cref="Change"/> asks for.</summary>
    /// <exception cref="RefusedException">It is no policy.</exception>
    public static PolicyChange Read(string? text)
    {
        try
        {
            return JsonSerializer.Deserialize<PolicyChange>(text ?? "", s_indented) ?? throw new JsonException("it is null");
        }
        catch (JsonException error)
        {
            throw RefusedException.Unusable($"the text is not a valid policy: {error.Message}", [error.Message]);
        }
    }

    public static SeeOther See(string policy) => new($"/policies#policy-{policy}");

    private static JsonObject Recipe(string bases, string preset) => new()
    {
        ["preset"] = preset,
        ["decomposition"] = new JsonObject { ["bases"] = int.TryParse(bases, NumberStyles.None, CultureInfo.InvariantCulture, out var count) ? count : bases },
    };

    private static double? NumberOf(IFormCollection form, string field, string what)
    {
        var text = form[field].ToString().Trim();
        if (text.Length == 0)
            return null;
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw RefusedException.Unusable($"{what}: \"{text}\" is not a number", [$"{field} is not a number"]);
    }

    private static string TextOf(Policy policy)
    {
        var view = PolicyEndpoints.View(policy);
        return JsonSerializer.Serialize(new PolicyChange(view.Models, view.Recipes, view.Gate, view.Mlflow, view.Oci, view.Hub), s_indented);
    }

    private static Markup Preset(string name) => Markup.Of($"""<option {(name == s_preset ? "selected" : "")}>{name}</option>""");

    private static Markup Bases(int count) => Markup.Of($"""
        <span><input type="checkbox" id="bases-{count}" name="bases" value="{count}" {(count == 3 ? "checked" : "")}><label for="bases-{count}" class="beside">{count}</label></span>
        """);

    private static Markup Number(string id, string label, string step, string value, string note) => Markup.Of($"""
        <div><label for="{id}">{label}</label><input type="number" id="{id}" name="{id}" min="0" step="{step}" value="{value}" aria-describedby="{id}-is"><span class="note" id="{id}-is">{note}</span></div>
        """);
}

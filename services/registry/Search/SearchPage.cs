using Qbb.Registry.Pages;
using Qbb.Registry.Versions;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Search;

/// <summary>Versions of all models by what is known of them.</summary>
internal static class SearchPage
{
    public static async Task<IResult> Show(
        string? q, string? kind, string? recipe, string? alias, string? tag, string? metric, string? sort, string? after,
        HttpContext http, [AsParameters] VersionServices services)
    {
        var (order, isAsked) = (string.IsNullOrWhiteSpace(sort) ? "-made" : sort, http.Request.Query.Count > 0);
        // The interface has another word for the time that versions were made.
        var wanted = order switch { "made" => "created", "-made" => "-created", _ => order };
        var found = await SearchEndpoints.FindAsync(new SearchQuery(
            Given(q), SearchEndpoints.KindOf(Given(kind)), Given(recipe), Given(alias), Several(tag), Several(metric), wanted, Given(after), null), services);
        var table = found.Items.Count == 0
            ? Nothing(Markup.Of($"<p>No results.</p>"))
            : VersionTable.Of(found.Items, SortOrder.Parse(order, order, key => Address(http, ("sort", key), ("after", null))), services.Clock.GetUtcNow(), showsModel: true);
        var next = found.Next is { } more ? Markup.Of($"""<p><a rel="next" href="{Address(http, ("after", more))}">More versions</a></p>""") : Markup.Empty;
        return PageLayout.Page(http, new PageParts("Search versions", Markup.Of($"""
            {Form(q, kind, recipe, alias, tag, metric)}
            <h2>{(isAsked ? "Found" : "The newest")}</h2>{table}{next}
            """))
        {
            Area = Area.Search,
        });
    }

    private static Markup Form(string? q, string? kind, string? recipe, string? alias, string? tag, string? metric)
    {
        var kinds = Wire.NamesOf<VersionKind>().Select(name => (name, name)).Prepend(("", "any")).Select(option => Markup.Of(
            $"""<option value="{option.Item1}"{(option.Item1 == (kind ?? "") ? Markup.Of($" selected") : Markup.Empty)}>{option.Item2}</option>"""));
        return Markup.Of($"""
            <form role="search" action="/search" class="fields">
            {Field("q", "Name or description", q, "llama")}
            <div><label for="kind">Kind</label><select id="kind" name="kind">{kinds}</select></div>
            {Field("recipe", "Recipe, by name or digest", recipe, "qbb-3")}
            {Field("alias", "Alias", alias, "champion")}
            {Field("tag", "Tags, as key or key:value", tag, "team:red")}
            {Field("metric", "Conditions on metrics", metric, "bitsPerWeight<=4 kl<0.1")}
            <div><button>Search</button> <a href="/search">Clear</a></div>
            </form>
            """);
    }

    private static Markup Field(string name, string label, string? value, string example) =>
        Markup.Of($"""<div><label for="{name}">{label}</label><input id="{name}" name="{name}" value="{value}" placeholder="{example}" maxlength="200"></div>""");

    private static string? Given(string? text) => string.IsNullOrWhiteSpace(text) ? null : text.Trim();

    private static string[]? Several(string? text) => Given(text)?.Split([' ', ','], StringSplitOptions.RemoveEmptyEntries);

    /// <summary>This page with some of what was requested changed.</summary>
    private static string Address(HttpContext http, params (string Key, string? Value)[] changes)
    {
        var query = http.Request.Query.Where(pair => changes.All(change => change.Key != pair.Key)).Select(pair => (pair.Key, Value: (string?)pair.Value.ToString()))
            .Concat(changes).Where(pair => !string.IsNullOrEmpty(pair.Value));
        return "/search?" + string.Join('&', query.Select(pair => $"{Uri.EscapeDataString(pair.Key)}={Uri.EscapeDataString(pair.Value!)}"));
    }
}

using System.Text.Json;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using Qbb.Registry.Pages.Charts;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Versions;

/// <summary>Some versions of a model side by side: figures, and in what their recipes differ.</summary>
internal static class ComparePage
{
    private const int Most = 8;

    public static async Task<IResult> Show(
        string name, int[]? v, HttpContext http, [AsParameters] VersionServices services)
    {
        var numbers = (v ?? []).Distinct().Order().ToList();
        if (numbers.Count is < 2 or > Most)
            throw RefusedException.Invalid($"select 2 to {Most} versions of {name} to compare");
        var model = await services.Finder.ModelAsync(name, services.Cancellation);
        var versions = await services.Views.OfVersionsAsync(
            services.Context.Versions.Where(version => version.ModelId == model.Id && version.DeletedAt == null && numbers.Contains(version.Number)).OrderBy(version => version.Number),
            services.Cancellation);
        if (numbers.Except(versions.Select(version => version.Version)).ToList() is { Count: > 0 } missing)
            throw RefusedException.NotFound($"{name} has no version {string.Join(", ", missing)}");
        Column[] columns = [new("Metric"), .. versions.Select(version => new Column($"version {version.Version}", IsNumber: true))];
        Markup[][] rows =
        [
            [Text("Version"), .. versions.Select(Link)],
            .. FigureKind.Among(versions.SelectMany(version => version.Metrics.Keys))
                .Select(kind => Row(kind.Label, versions, version => FigureKind.Text(version.Metrics, kind.Name))),
            Row("All files", versions, version => Numbers.Bytes(version.Bytes)),
        ];
        var chart = TradeOffChart.Of(versions) is { } picture ? Markup.Of($"<figure>{picture}</figure>") : Markup.Empty;
        return PageLayout.Page(http, new PageParts("Comparison", Markup.Join(
        [
            chart, Section("Metrics", DataTable.Of("Metrics", columns, rows)), Section("Recipes", Recipes(columns, versions)),
        ]))
        {
            Area = Area.Models,
            Heading = Markup.Of($"Versions {string.Join(", ", numbers)} of {name}"),
            Above = [("/", "Models"), ($"/models/{name}", name)],
        });
    }

    private static Markup Link(VersionView version) => Markup.Of($"""
        <a href="/models/{version.Model}/versions/{version.Version}">version {version.Version}</a> {version.Aliases.Select(Alias)}
        """);

    private static Markup[] Row(string label, IReadOnlyList<VersionView> versions, Func<VersionView, string> value) =>
        [Text(label), .. versions.Select(version => Text(value(version)))];

    private static Markup Recipes(Column[] columns, IReadOnlyList<VersionView> versions)
    {
        var choices = versions.Select(version => version.Lineage is { } lineage ? Flat("", lineage.Choices).ToDictionary() : []).ToList();
        var names = choices.SelectMany(choice => choice.Keys).Distinct().ToList();
        var rows = names.Select(choice =>
        {
            var values = choices.Select(all => all.GetValueOrDefault(choice, "")).ToList();
            var differs = values.Where((_, index) => versions[index].Lineage is not null).Distinct().Count() > 1;
            return new[] { differs ? Markup.Of($"<mark>{choice}</mark>") : Text(choice) }.Concat(values.Select(Text)).ToArray();
        }).ToList();
        Markup[] title = [Text("recipe"), .. versions.Select(VersionTable.RecipeOf)];
        return Markup.Of($"""
            <p>Choices in which they differ are <mark>marked</mark>; an empty field is the program’s own choice.</p>
            {DataTable.Of("Recipes", columns, rows.Prepend(title))}
            """);
    }

    /// <summary>All choices by their path, such as distillation.steps.</summary>
    private static IEnumerable<KeyValuePair<string, string>> Flat(string path, JsonElement value) => value.ValueKind == JsonValueKind.Object
        ? value.EnumerateObject().SelectMany(member => Flat(path.Length == 0 ? member.Name : $"{path}.{member.Name}", member.Value))
        : [KeyValuePair.Create(path, value.ToString())];
}

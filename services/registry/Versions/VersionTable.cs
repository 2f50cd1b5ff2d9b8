using Qbb.Registry.Pages;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Versions;

/// <summary>Versions with their figures, in the order that is requested.</summary>
internal static class VersionTable
{
    public const string Usual = "-version";

    private static readonly Column[] s_columns =
    [
        new("Version", Key: "version"), new("Recipe"), new("Bits/weight", IsNumber: true, MetricNames.BitsPerWeight),
        new("Perplexity", IsNumber: true, MetricNames.Perplexity), new("Teacher’s", IsNumber: true, MetricNames.TeacherPerplexity),
        new("KL (nats)", IsNumber: true, MetricNames.Kl), new("Top-1", IsNumber: true, MetricNames.Top1), new("Size", IsNumber: true, "size"),
        new("Created", Key: "made"),
    ];

    // A search sorts all versions, of which one page is shown: by what the registry itself can sort by.
    private static readonly Column[] s_found = [.. s_columns.Select(column => column.Key is "version" or "size" ? column with { Key = null } : column)];

    /// <param name="versions">What to show.</param>
    /// <param name="sort">By version, size, made, or the name of a metric.</param>
    /// <param name="now">The time.</param>
    /// <param name="showsModel">Versions are of several models.</param>
    /// <param name="form">The form that the boxes before the versions belong to; null for no boxes.</param>
    public static Markup Of(IEnumerable<VersionView> versions, SortOrder sort, DateTimeOffset now, bool showsModel = false, string? form = null) =>
        DataTable.Of("Versions", showsModel ? s_found : s_columns, Sorted(versions, sort).Select(version => Row(version, now, showsModel, form)), sort);

    /// <summary>Those that lack the figure stand at the end either way.</summary>
    private static IEnumerable<VersionView> Sorted(IEnumerable<VersionView> versions, SortOrder sort)
    {
        var keyed = versions.Select(version => (Version: version, Key: KeyOf(version, sort.Key))).ToList();
        var known = keyed.Where(row => row.Key is not null);
        var sorted = sort.IsFalling ? known.OrderByDescending(row => row.Key) : known.OrderBy(row => row.Key);
        return sorted.Concat(keyed.Where(row => row.Key is null)).Select(row => row.Version);
    }

    private static double? KeyOf(VersionView version, string key) => key switch
    {
        "version" => version.Version,
        "size" => version.Bytes,
        "made" => version.CreatedAt.ToUnixTimeMilliseconds(),
        _ => version.Metrics.TryGetValue(key, out var value) ? value : null,
    };

    private static Markup[] Row(VersionView version, DateTimeOffset now, bool showsModel, string? form)
    {
        var name = showsModel ? $"{version.Model} version {version.Version}" : $"version {version.Version}";
        var box = form is null ? Markup.Empty
            : Markup.Of($"""<input type="checkbox" form="{form}" name="v" value="{version.Version}" aria-label="Compare version {version.Version}"> """);
        return
        [
            Markup.Of($"""
                {box}<a class="strong" href="/models/{version.Model}/versions/{version.Version}">{name}</a> {version.Aliases.Select(Alias)}
                """),
            RecipeOf(version),
            Figure(MetricNames.BitsPerWeight), Figure(MetricNames.Perplexity), Figure(MetricNames.TeacherPerplexity),
            // Its unit stands in the head.
            Text(FigureKind.Text(version.Metrics, MetricNames.Kl).Replace(" nats", "", StringComparison.Ordinal)),
            Figure(MetricNames.Top1), Text(Numbers.Bytes(version.Bytes)), Numbers.Ago(version.CreatedAt, now),
        ];

        Markup Figure(string metric) => Text(FigureKind.Text(version.Metrics, metric));
    }

    /// <summary>What made a version.</summary>
    public static Markup RecipeOf(VersionView version) => version switch
    {
        { Lineage.RecipeName: { } name } => Markup.Of($"{name}"),
        { Lineage: { } lineage } => Digest(lineage.Recipe),
        { Kind: VersionKind.Upload } => Markup.Of($"""<span class="quiet">upload</span>"""),
        _ => Markup.Empty,
    };
}

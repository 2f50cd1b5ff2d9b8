using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Pages;
using Qbb.Registry.Versions;

namespace Qbb.Registry.Search;

/// <summary>Versions by what is known of them.</summary>
internal static class SearchEndpoints
{
    public static void MapSearch(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/search", Search).WithTags("search").ProducesProblem(400).WithSummary("Searches versions; all conditions must hold.")
            .WithDescription("tag=key or tag=key:value; metric=kl<=0.1 with <, <=, >, >= or =; sort=created, -created, kl or -kl (a metric).");
        routes.MapPages("/search").MapGet("", SearchPage.Show);
    }

    /// <summary>A page of what meets all conditions.</summary>
    /// <exception cref="RefusedException">A condition cannot be understood.</exception>
    internal static async Task<Page<VersionView>> FindAsync(SearchQuery query, VersionServices services)
    {
        var most = Paging.LimitOf(query.Limit);
        var skipped = query.After is null ? 0
            : int.TryParse(query.After, NumberStyles.None, CultureInfo.InvariantCulture, out var after) ? after
            : throw RefusedException.Invalid("invalid after: use the value of an earlier response");
        var sort = query.Sort ?? "-created";
        await CheckSortAsync(sort.TrimStart('-'), services);
        var found = Sort(Filter(services.Context, query), sort, services.Context);
        var shown = await services.Views.OfVersionsAsync(found.Skip(skipped).Take(most + 1), services.Cancellation);
        return Paging.Make(shown, most, version => version, _ => $"{skipped + most}");
    }

    private static async Task<Ok<Page<VersionView>>> Search(
        string? q, string? kind, string? recipe, string? alias, string[]? tag, string[]? metric, string? sort, string? after, int? limit,
        [AsParameters] VersionServices services) =>
        TypedResults.Ok(await FindAsync(new SearchQuery(q, KindOf(kind), recipe, alias, tag, metric, sort, after, limit), services));

    /// <exception cref="RefusedException">There is no such kind.</exception>
    internal static VersionKind? KindOf(string? kind) => kind is null ? null : RefusedException.Parse<VersionKind>("kind", kind);

    private static async Task CheckSortAsync(string name, VersionServices services)
    {
        if (name == "created" || MetricNames.All.Contains(name) || await services.Context.Set<Metric>().AnyAsync(metric => metric.Name == name, services.Cancellation))
            return;
        throw RefusedException.Invalid($"unknown sort '{name}': sort is created or the name of a metric, with - before it for the largest first");
    }

    // What few versions have is looked up in its own index, once for all of them; what many have is looked for in each until the page is full.
    private static IQueryable<ModelVersion> Filter(RegistryContext context, SearchQuery query)
    {
        var versions = context.Versions.Where(version => version.DeletedAt == null && version.Model.DeletedAt == null);
        if (!string.IsNullOrEmpty(query.Q))
        {
            var models = context.Models.Where(model => model.Name.Contains(query.Q) || model.Description.Contains(query.Q)).Select(model => model.Id);
            versions = versions.Where(version => models.Contains(version.ModelId));
        }
        if (query.Kind is { } kind)
            versions = versions.Where(version => version.Kind == kind);
        if (query.Recipe is { } recipe)
        {
            var made = context.Lineages.Where(lineage => lineage.Recipe == recipe || lineage.RecipeName == recipe).Select(lineage => lineage.VersionId);
            versions = versions.Where(version => made.Contains(version.Id));
        }
        if (query.Alias is { } alias)
        {
            var named = context.Aliases.Where(row => row.Name == alias).Select(row => row.VersionId);
            versions = versions.Where(version => named.Contains(version.Id));
        }
        foreach (var tag in query.Tag ?? [])
        {
            var (key, value) = tag.IndexOf(':') is var colon and >= 0 ? (tag[..colon], tag[(colon + 1)..]) : (tag, null);
            var tagged = context.Set<VersionTag>().Where(row => row.Key == key && (value == null || row.Value == value)).Select(row => row.VersionId);
            versions = versions.Where(version => tagged.Contains(version.Id));
        }
        return (query.Metric ?? []).Select(MetricCondition.Parse).Aggregate(versions, (rest, condition) => condition.Apply(rest));
    }

    private static IQueryable<ModelVersion> Sort(IQueryable<ModelVersion> versions, string sort, RegistryContext context)
    {
        var (isFalling, name) = sort.StartsWith('-') ? (true, sort[1..]) : (false, sort);
        if (name == "created")
        {
            return isFalling
                ? versions.OrderByDescending(version => version.CreatedAt).ThenByDescending(version => version.Id)
                : versions.OrderBy(version => version.CreatedAt).ThenBy(version => version.Id);
        }
        // Versions without that metric have no place in the order, which is the one of its index: it is followed until the page is full.
        var measured = context.Set<Metric>().Where(metric => metric.Name == name && versions.Any(version => version.Id == metric.VersionId))
            .Join(context.Versions, metric => metric.VersionId, version => version.Id, (metric, version) => new { metric.Value, metric.VersionId, Version = version });
        var sorted = isFalling
            ? measured.OrderByDescending(row => row.Value).ThenByDescending(row => row.VersionId)
            : measured.OrderBy(row => row.Value).ThenBy(row => row.VersionId);
        return sorted.Select(row => row.Version);
    }
}

/// <summary>A condition on a figure, such as kl&lt;=0.1.</summary>
internal sealed partial record MetricCondition(string Name, string Comparison, double Value)
{
    /// <exception cref="RefusedException">The text is not a condition.</exception>
    public static MetricCondition Parse(string text)
    {
        var match = Pattern().Match(text);
        if (match.Success && double.TryParse(match.Groups[3].Value, NumberStyles.Float, CultureInfo.InvariantCulture, out var value)
            && double.IsFinite(value))
            return new MetricCondition(match.Groups[1].Value, match.Groups[2].Value, value);
        throw RefusedException.Invalid($"invalid condition '{text}'; expected a metric, one of <, <=, >, >=, =, and a number, e.g. kl<=0.1");
    }

    public IQueryable<ModelVersion> Apply(IQueryable<ModelVersion> versions) => Comparison switch
    {
        "<" => versions.Where(version => version.Metrics.Any(metric => metric.Name == Name && metric.Value < Value)),
        "<=" => versions.Where(version => version.Metrics.Any(metric => metric.Name == Name && metric.Value <= Value)),
        ">" => versions.Where(version => version.Metrics.Any(metric => metric.Name == Name && metric.Value > Value)),
        ">=" => versions.Where(version => version.Metrics.Any(metric => metric.Name == Name && metric.Value >= Value)),
        _ => versions.Where(version => version.Metrics.Any(metric => metric.Name == Name && metric.Value == Value)),
    };

    [GeneratedRegex(@"\A([A-Za-z0-9._-]{1,64})(<=|>=|<|>|=)(.{1,40})\z", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();
}

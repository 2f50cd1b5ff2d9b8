using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Versions;

/// <summary>Models and versions as people see them.</summary>
internal sealed class VersionViews(RegistryContext context)
{
    public async Task<IReadOnlyList<ModelView>> OfAsync(IReadOnlyList<Model> models, CancellationToken cancellation)
    {
        var ids = models.Select(model => model.Id).ToList();
        var versions = await context.Versions.AsNoTracking().Where(version => ids.Contains(version.ModelId) && version.DeletedAt == null)
            .GroupBy(version => version.ModelId)
            .Select(group => new { group.Key, Count = group.Count(), Latest = group.Max(version => version.Number) })
            .ToDictionaryAsync(group => group.Key, cancellation);
        var aliases = await AliasesAsync(ids, cancellation);
        return [.. models.Select(model => new ModelView(
            model.Name, model.Description, versions.GetValueOrDefault(model.Id)?.Count ?? 0, versions.GetValueOrDefault(model.Id)?.Latest,
            aliases[model.Id].OrderBy(alias => alias.Name, StringComparer.Ordinal).ToDictionary(alias => alias.Name, alias => alias.Number),
            model.CreatedAt))];
    }

    public async Task<ModelView> OfAsync(Model model, CancellationToken cancellation) => (await OfAsync([model], cancellation))[0];

    /// <param name="ids">Versions, in the order wanted.</param>
    /// <param name="files">Whether files are listed.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task<IReadOnlyList<VersionView>> OfVersionsAsync(IReadOnlyList<Guid> ids, bool files, CancellationToken cancellation)
    {
        var query = context.Versions.AsNoTracking().AsSplitQuery().Where(version => ids.Contains(version.Id))
            .Include(version => version.Model).Include(version => version.Tags).Include(version => version.Metrics)
            .Include(version => version.Lineage!).ThenInclude(lineage => lineage.Parent).ThenInclude(parent => parent.Model);
        var rows = await (files ? query.Include(version => version.Files) : (IQueryable<ModelVersion>)query)
            .ToDictionaryAsync(version => version.Id, cancellation);
        var aliases = await AliasesAsync([.. rows.Values.Select(version => version.ModelId).Distinct()], cancellation);
        return [.. ids.Where(rows.ContainsKey).Select(id => Make(rows[id], aliases, files))];
    }

    public async Task<VersionView> OfVersionAsync(Guid id, CancellationToken cancellation) =>
        (await OfVersionsAsync([id], files: true, cancellation))[0];

    /// <summary>Versions that were made from a version, the oldest first.</summary>
    public IQueryable<ModelVersion> ChildrenOf(Guid id) => context.Versions.AsNoTracking()
        .Where(child => child.Lineage!.ParentId == id && child.DeletedAt == null).OrderBy(child => child.CreatedAt);

    private static VersionView Make(ModelVersion version, ILookup<Guid, AliasName> aliases, bool files) => new(
        version.Model.Name, version.Number, version.Manifest, version.Kind, version.Bytes, version.CreatedAt,
        [.. aliases[version.ModelId].Where(alias => alias.VersionId == version.Id).Select(alias => alias.Name).Order(StringComparer.Ordinal)],
        version.Tags.OrderBy(tag => tag.Key, StringComparer.Ordinal).ToDictionary(tag => tag.Key, tag => tag.Value),
        version.Metrics.OrderBy(metric => metric.Name, StringComparer.Ordinal).ToDictionary(metric => metric.Name, metric => metric.Value),
        version.Lineage is { } lineage ? Make(lineage) : null,
        files ? [.. version.Files.OrderBy(file => file.Name, StringComparer.Ordinal).Select(file => new FileEntry(file.Name, Digest.Parse(file.Digest), file.Size))] : null);

    private static LineageView Make(VersionLineage lineage)
    {
        var data = new Dictionary<string, string>();
        foreach (var (name, digest) in new[] { ("sampled", lineage.Data), ("kept", lineage.Filtered), ("scored", lineage.Windows) })
        {
            if (digest is not null)
                data[name] = digest;
        }
        return new LineageView(
            new VersionName(lineage.Parent.Model.Name, lineage.Parent.Number), lineage.PipelineId, lineage.Recipe, lineage.RecipeName,
            JsonSerializer.Deserialize<JsonElement>(lineage.RecipeJson), data, lineage.ToolVersion, lineage.Commit, lineage.Note);
    }

    private async Task<ILookup<Guid, AliasName>> AliasesAsync(List<Guid> models, CancellationToken cancellation) =>
        (await context.Aliases.AsNoTracking().Where(alias => models.Contains(alias.ModelId) && alias.Version.DeletedAt == null)
            .Select(alias => new AliasName(alias.ModelId, alias.Name, alias.VersionId, alias.Version.Number)).ToListAsync(cancellation))
            .ToLookup(alias => alias.ModelId);

    private sealed record AliasName(Guid ModelId, string Name, Guid VersionId, int Number);
}

using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Qbb.Contracts;
using Qbb.Registry.Data;

namespace Qbb.Registry.Versions;

/// <summary>Models and versions as people see them: a list of models is one query, one of versions two, whatever is in it.</summary>
internal sealed class VersionViews(RegistryContext context)
{
    /// <summary>Some models, in the order of the query.</summary>
    public async Task<IReadOnlyList<ModelRow>> OfAsync(IQueryable<Model> models, CancellationToken cancellation) =>
        await Rows(models.AsNoTracking()).ToListAsync(cancellation);

    /// <summary>One model as the caller has it, saved or not.</summary>
    public async Task<ModelView> OfAsync(Model model, CancellationToken cancellation)
    {
        var row = await Rows(context.Models.AsNoTracking().Where(other => other.Id == model.Id)).SingleAsync(cancellation);
        return (row with { Model = model }).View;
    }

    /// <param name="ids">Versions, in the order wanted.</param>
    /// <param name="files">Whether files are listed.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task<IReadOnlyList<VersionView>> OfVersionsAsync(IReadOnlyList<Guid> ids, bool files, CancellationToken cancellation)
    {
        if (ids.Count == 0)
            return [];
        var found = (await ReadAsync(context.Versions.Where(version => ids.Contains(version.Id)), files, cancellation)).ToDictionary(row => row.Id, row => row.View);
        return [.. ids.Where(found.ContainsKey).Select(id => found[id])];
    }

    /// <summary>Some versions, in the order of the query.</summary>
    public async Task<IReadOnlyList<VersionView>> OfVersionsAsync(IQueryable<ModelVersion> versions, CancellationToken cancellation) =>
        [.. (await ReadAsync(versions, files: false, cancellation)).Select(row => row.View)];

    public async Task<VersionView> OfVersionAsync(Guid id, CancellationToken cancellation) =>
        (await OfVersionsAsync([id], files: true, cancellation))[0];

    /// <summary>Versions that were made from a version, the oldest first.</summary>
    public IQueryable<ModelVersion> ChildrenOf(Guid id) => context.Versions.AsNoTracking()
        .Where(child => child.Lineage!.ParentId == id && child.DeletedAt == null).OrderBy(child => child.CreatedAt);

    // The number by a look-up for each alias: a join would make SQLite gather the aliases of all models first.
    private IQueryable<ModelRow> Rows(IQueryable<Model> models) => models.Select(model => new ModelRow(
        model, model.Versions.Count(version => version.DeletedAt == null), model.Versions.Where(version => version.DeletedAt == null).Max(version => (int?)version.Number),
        model.Aliases.Select(alias => new AliasedVersion(
            alias.Name, alias.VersionId,
            context.Versions.Where(version => version.Id == alias.VersionId && version.DeletedAt == null).Select(version => (int?)version.Number).FirstOrDefault())).ToList()));

    private async Task<List<(Guid Id, VersionView View)>> ReadAsync(IQueryable<ModelVersion> versions, bool files, CancellationToken cancellation)
    {
        var rows = await versions.AsNoTracking().Include(version => version.Model)
            .Include(version => version.Lineage!).ThenInclude(lineage => lineage.Parent).ThenInclude(parent => parent.Model).ToListAsync(cancellation);
        var ids = rows.ConvertAll(version => version.Id);
        // What hangs on them differs in kind and number: joined to the rows, each would multiply the others.
        var notes = (await context.Database.SqlQuery<Note>($"""
            SELECT "VersionId", 0 AS "Kind", "Key" AS "Name", "Value" AS "Text", NULL AS "Number" FROM tags
            UNION ALL SELECT "VersionId", 1, "Name", NULL, "Value" FROM metrics
            UNION ALL SELECT "VersionId", 2, "Name", NULL, NULL FROM aliases
            """).Where(note => ids.Contains(note.VersionId)).ToListAsync(cancellation)).OrderBy(note => note.Name, StringComparer.Ordinal).ToLookup(note => (note.VersionId, note.Kind));
        var listed = files
            ? (await context.Files.AsNoTracking().Where(file => ids.Contains(file.VersionId)).ToListAsync(cancellation)).OrderBy(file => file.Name, StringComparer.Ordinal).ToLookup(file => file.VersionId)
            : null;
        return rows.ConvertAll(version => (version.Id, new VersionView(
            version.Model.Name, version.Number, version.Manifest, version.Kind, version.Bytes, version.CreatedAt,
            version.DeletedAt is null ? [.. notes[(version.Id, NoteKind.Alias)].Select(note => note.Name)] : [],
            notes[(version.Id, NoteKind.Tag)].ToDictionary(note => note.Name, note => note.Text!),
            notes[(version.Id, NoteKind.Metric)].ToDictionary(note => note.Name, note => note.Number!.Value),
            version.Lineage is { } lineage ? Make(lineage) : null,
            listed is null ? null : [.. listed[version.Id].Select(file => new FileEntry(file.Name, Digest.Parse(file.Digest), file.Size))])));
    }

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

    private enum NoteKind
    {
        Tag,
        Metric,
        Alias,
    }

    private sealed record Note(Guid VersionId, NoteKind Kind, string Name, string? Text, double? Number);
}

/// <summary>A model with what its view needs of other rows.</summary>
internal sealed record ModelRow(Model Model, int Versions, int? Latest, List<AliasedVersion> Aliases)
{
    public Guid? Champion => Aliases.Find(alias => alias is { Name: Alias.Champion, Number: not null })?.VersionId;

    public ModelView View => new(
        Model.Name, Model.Description, Versions, Latest,
        Aliases.Where(alias => alias.Number is not null).OrderBy(alias => alias.Name, StringComparer.Ordinal).ToDictionary(alias => alias.Name, alias => alias.Number!.Value),
        Model.CreatedAt);
}

/// <summary>An alias, and the number of its version; null where that was deleted.</summary>
internal sealed record AliasedVersion(string Name, Guid VersionId, int? Number);

using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Registry.Mlflow.Client;

namespace Qbb.Registry.Mlflow;

/// <summary>Brings registered models, their versions and aliases up to date. The database says how they are to be, not the change that was noted.</summary>
internal sealed class MlflowVersions(RegistryContext context, IMlflowApi api, MlflowFiles files, IArtifactStore store, MlflowExperiment experiment, MlflowLinks links, MlflowOptions options)
{
    /// <param name="id">The version.</param>
    /// <param name="removed">Tags that were removed here.</param>
    /// <param name="cancellation">Stops.</param>
    public async Task ApplyAsync(Guid id, IReadOnlyList<string> removed, CancellationToken cancellation)
    {
        if (await ReadAsync(id, cancellation) is not { } version)
            return;
        await WithLinkAsync(version, async (link, isNew) =>
        {
            if (isNew)
                return;
            var there = (await api.GetVersionAsync(link.Name, link.RemoteId, cancellation)).ModelVersion;
            var tags = VersionNotes.Tags(version);
            foreach (var tag in tags.Where(tag => there.TagOf(tag.Key) != tag.Value))
                await api.SetVersionTagAsync(new(link.Name, link.RemoteId, tag.Key, tag.Value), cancellation);
            foreach (var key in removed.Where(key => there.TagOf(key) is not null && tags.All(tag => tag.Key != key)))
                await api.DeleteVersionTagAsync(new(link.Name, link.RemoteId, key), cancellation);
        }, cancellation);
    }

    /// <summary>Points an alias where it points here, or removes it.</summary>
    public async Task ApplyAliasAsync(Guid model, string alias, CancellationToken cancellation)
    {
        var row = await context.Aliases.AsNoTracking().FirstOrDefaultAsync(row => row.ModelId == model && row.Name == alias, cancellation);
        if (row is not null && await ReadAsync(row.VersionId, cancellation) is { } version)
        {
            await WithLinkAsync(version, (link, _) => api.SetAliasAsync(new(link.Name, alias, link.RemoteId), cancellation), cancellation);
            return;
        }
        if (await context.Models.Where(known => known.Id == model).Select(known => known.Name).FirstOrDefaultAsync(cancellation) is not { } name)
            return;
        try
        {
            await api.DeleteAliasAsync(new(NameOf(name), alias), cancellation);
        }
        catch (MlflowException error) when (error.IsMissing)
        {
            // It is not there, as it is to be.
        }
    }

    private Task<ModelVersion?> ReadAsync(Guid id, CancellationToken cancellation) => context.Versions.AsNoTracking().AsSplitQuery()
        .Include(version => version.Model).Include(version => version.Metrics).Include(version => version.Tags).Include(version => version.Files)
        .Include(version => version.Lineage!).ThenInclude(lineage => lineage.Parent).ThenInclude(parent => parent.Model)
        .FirstOrDefaultAsync(version => version.Id == id, cancellation);

    /// <summary>Does something with the version there. One that somebody deleted, or that went with a lost database, is created again, once.</summary>
    private async Task WithLinkAsync(ModelVersion version, Func<MlflowLink, bool, Task> change, CancellationToken cancellation)
    {
        if (await links.FindAsync(version.Id, cancellation) is { } known)
        {
            try
            {
                await change(known, false);
                return;
            }
            catch (MlflowException error) when (error.IsMissing)
            {
                await links.RemoveAsync(version.Id, cancellation);
            }
        }
        var (link, isNew) = await FindOrCreateAsync(version, cancellation);
        await change(link, isNew);
    }

    private async Task<(MlflowLink Link, bool IsNew)> FindOrCreateAsync(ModelVersion version, CancellationToken cancellation)
    {
        var name = NameOf(version.Model.Name);
        var run = version.Lineage?.PipelineId is { } pipeline ? (await links.FindAsync(pipeline, cancellation))?.RemoteId : null;
        var page = links.Of($"models/{version.Model.Name}/versions/{version.Number}");
        var source = options.UploadFiles && run is not null && version.PurgedAt is null ? await UploadAsync(version, run, cancellation) : page;
        if (await api.VersionsAsync($"name = '{name}' and source_path = '{source}'", cancellation) is [var there, ..])
            return (await links.AddAsync(version.Id, there.Version, name, cancellation), false);
        var tags = VersionNotes.Tags(version).Select(tag => new KeyValue(tag.Key, MlflowLimits.Cut(tag.Value, MlflowLimits.TagValue)));
        var creation = new ModelVersionCreation(
            name, source, run, $"[{version.Model.Name} version {version.Number}]({page})", [.. tags],
            version.Lineage?.PipelineId is { } maker ? links.Of($"pipelines/{maker}") : null,
            run is null ? null : await LogModelAsync(version, run, [.. tags], cancellation));
        MlflowVersion created;
        try
        {
            created = (await api.CreateVersionAsync(creation, cancellation)).ModelVersion;
        }
        catch (MlflowException error) when (error.IsMissing)
        {
            await CreateModelAsync(version.Model, name, cancellation);
            created = (await api.CreateVersionAsync(creation, cancellation)).ModelVersion;
        }
        return (await links.AddAsync(version.Id, created.Version, name, cancellation), true);
    }

    /// <summary>The version as the logged model of its run, which 3.x puts before registered versions.</summary>
    /// <returns>Its id; null where the server has no logged models.</returns>
    private async Task<string?> LogModelAsync(ModelVersion version, string run, IReadOnlyList<KeyValue> tags, CancellationToken cancellation)
    {
        try
        {
            var search = new LoggedModelSearch([experiment.Id], 100, $"tags.`{VersionNotes.ManifestTag}` = '{version.Manifest}'");
            var found = (await api.SearchLoggedModelsAsync(search, cancellation)).Models?.FirstOrDefault(model => model.Info.SourceRunId == run)?.Info;
            var model = found ?? (await api.CreateLoggedModelAsync(
                new(experiment.Id, NameOf(version.Model.Name), "qbb", run, [.. RunNotes.Flatten("", JsonNode.Parse(version.Lineage!.RecipeJson))], tags), cancellation)).Model.Info;
            // Servers refuse the same output a second time.
            if (found is null || (await api.GetRunAsync(run, cancellation)).Run.Outputs?.ModelOutputs?.Any(output => output.ModelId == model.ModelId) != true)
                await api.LogOutputsAsync(new(run, [new(model.ModelId)]), cancellation);
            if (model.Status != LoggedModelStatus.Ready)
                await api.FinalizeLoggedModelAsync(model.ModelId, new(model.ModelId, LoggedModelStatus.Ready), cancellation);
            return model.ModelId;
        }
        catch (MlflowException error) when (error.IsUnknownRoute)
        {
            return null;
        }
    }

    private async Task CreateModelAsync(Model model, string name, CancellationToken cancellation)
    {
        try
        {
            await api.CreateRegisteredModelAsync(
                new(name, model.Description.Length > 0 ? model.Description : null, [new("qbb.url", links.Of($"models/{model.Name}"))]), cancellation);
        }
        catch (MlflowException error) when (error.Code == MlflowCodes.AlreadyExists)
        {
            // An earlier attempt's, or somebody else's.
        }
    }

    /// <summary>Uploads a version's files to its run, skipping existing ones.</summary>
    /// <returns>Their address.</returns>
    private async Task<string> UploadAsync(ModelVersion version, string run, CancellationToken cancellation)
    {
        var root = (await api.GetRunAsync(run, cancellation)).Run.Info.ArtifactUri ?? "";
        if (MlflowFiles.PathOf(root) is not { } path)
            throw new MlflowException($"the run's artifacts are at {root}, which MLflow does not serve itself: start it with --serve-artifacts, or set Mlflow:UploadFiles=false", MlflowCodes.InvalidParameter, System.Net.HttpStatusCode.BadRequest);
        var folder = $"{path}/model";
        var there = (await files.ListAsync(folder, cancellation)).ToHashSet();
        foreach (var file in version.Files.Where(file => !there.Contains((file.Name, file.Size))).OrderBy(file => file.Name, StringComparer.Ordinal))
        {
            await files.PutAsync(
                folder, file.Name, file.Size, (offset, length) => store.OpenReadAsync(Digest.Parse(file.Digest), offset, length, cancellation), cancellation);
        }
        return $"{root}/model";
    }

    private string NameOf(string model) => options.ModelPrefix + model;
}

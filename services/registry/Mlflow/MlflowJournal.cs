using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.ChangeTracking;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Qbb.Registry.Data;

namespace Qbb.Registry.Mlflow;

/// <summary>
/// Writes into the outbox what a save changes of pipelines, versions and aliases, in the same transaction: no feature has to think of MLflow, and
/// where none is configured this is not there.
/// </summary>
internal sealed class MlflowJournal(TimeProvider clock) : SaveChangesInterceptor
{
    public override ValueTask<InterceptionResult<int>> SavingChangesAsync(
        DbContextEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default)
    {
        if (eventData.Context is RegistryContext context && Changes(context.ChangeTracker).ToList() is { Count: > 0 } changes)
            context.MlflowChanges.AddRange(changes);
        return base.SavingChangesAsync(eventData, result, cancellationToken);
    }

    private IEnumerable<MlflowChange> Changes(ChangeTracker tracker)
    {
        var now = clock.GetUtcNow();
        var (runs, versions, aliases) = (new Dictionary<Guid, RunNote>(), new Dictionary<Guid, List<string>>(), new HashSet<(Guid Model, string Alias)>());
        // In the order of their steps.
        foreach (var entry in tracker.Entries().OrderBy(entry => (entry.Entity as PipelineUnit)?.Index))
        {
            if (entry.State is not (EntityState.Added or EntityState.Modified or EntityState.Deleted))
                continue;
            switch (entry.Entity)
            {
                case Pipeline pipeline when entry.State == EntityState.Added:
                    Run(pipeline.Id, note => note with { Start = RunNotes.Start(pipeline) });
                    break;
                case Pipeline pipeline when entry.State == EntityState.Modified && IsNews((PipelineStatus)entry.OriginalValues[nameof(Pipeline.Status)]!, pipeline.Status):
                    Run(pipeline.Id, note => note with { State = RunNotes.State(pipeline) });
                    break;
                case PipelineUnit { Status: UnitStatus.Done } unit when entry.State == EntityState.Modified && entry.Property(nameof(PipelineUnit.Status)).IsModified:
                    Run(unit.PipelineId, note => note with { Points = [.. note.Points, .. RunNotes.Points(unit, now)] });
                    break;
                case ModelVersion version when entry.State == EntityState.Added || entry.Property(nameof(ModelVersion.DeletedAt)).IsModified:
                    Version(version.Id);
                    break;
                case Metric metric:
                    Version(metric.VersionId);
                    break;
                case VersionTag tag:
                    Version(tag.VersionId);
                    if (entry.State == EntityState.Deleted)
                        versions[tag.VersionId].Add(tag.Key);
                    break;
                case Alias alias:
                    aliases.Add((alias.ModelId, alias.Name));
                    break;
            }
        }
        // Aliases of versions, versions of runs.
        foreach (var (id, note) in runs.Where(run => run.Value is not { Start: null, State: null, Points.Count: 0 }))
            yield return Change(note.State is null ? MlflowTopic.Run : MlflowTopic.RunState, id, note.ToJson());
        foreach (var (id, removed) in versions)
            yield return Change(MlflowTopic.Version, id, JsonSerializer.Serialize(removed));
        foreach (var (model, alias) in aliases)
            yield return Change(MlflowTopic.Alias, model, alias);

        void Run(Guid id, Func<RunNote, RunNote> add) => runs[id] = add(runs.GetValueOrDefault(id) ?? new RunNote(null, [], null));

        void Version(Guid id) => versions.TryAdd(id, []);

        MlflowChange Change(MlflowTopic topic, Guid subject, string body) => new() { Topic = topic, SubjectId = subject, Body = body, CreatedAt = now };
    }

    /// <summary>Whether MLflow has another word for the new state: it knows running and the ends.</summary>
    private static bool IsNews(PipelineStatus before, PipelineStatus after) => RunNotes.StatusOf(before) != RunNotes.StatusOf(after);
}

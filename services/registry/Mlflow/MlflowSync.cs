using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Registry.Data;
using Qbb.Registry.Http;
using Qbb.Registry.Mlflow.Client;

namespace Qbb.Registry.Mlflow;

/// <summary>
/// Sends the outbox to MLflow, in order. A change whose first attempt may have had an effect is looked up on the server before it is sent again, so
/// each acts once. What MLflow refuses is set aside with the reason; what belongs to a server that lost its database is sent to the new one.
/// </summary>
internal sealed class MlflowSync(
    RegistryContext context, IMlflowApi api, MlflowRuns runs, MlflowVersions versions, MlflowExperiment experiment, MlflowStatus status, TimeProvider clock, ILogger<MlflowSync> log)
{
    /// <summary>Changes that are looked at together; one for every save, each with a few metrics.</summary>
    private const int Window = 2 * MlflowLimits.Metrics;

    /// <summary>Attempts in a row after which a change that the server fails at, while it answers otherwise, is set aside.</summary>
    private const int MostAttempts = 10;

    /// <returns>How many changes were sent or set aside.</returns>
    /// <exception cref="MlflowException">The server is away; what was sent until then stays sent.</exception>
    public async Task<int> SendAsync(CancellationToken cancellation)
    {
        var sent = 0;
        await experiment.LookAsync(cancellation);
        while (await PendingAsync(cancellation) is { Count: > 0 } pending)
        {
            var isAgain = false;
            foreach (var group in Groups(pending))
            {
                isAgain = !await SendAsync(group, cancellation);
                if (isAgain)
                    break;
                sent += group.Count;
            }
            if (!isAgain && pending.Count < Window)
                break;
        }
        return sent;
    }

    private Task<List<MlflowChange>> PendingAsync(CancellationToken cancellation) => context.MlflowChanges.AsNoTracking()
        .Where(change => change.SentAt == null && change.Error == null).OrderBy(change => change.Id).Take(Window).ToListAsync(cancellation);

    /// <summary>Changes of one run until it ends go together, at the place of the first: a thousand metrics are one request.</summary>
    internal static IEnumerable<List<MlflowChange>> Groups(IReadOnlyList<MlflowChange> pending)
    {
        var open = new Dictionary<Guid, List<MlflowChange>>();
        var groups = new List<List<MlflowChange>>();
        foreach (var change in pending)
        {
            if (!IsOfRun(change))
                groups.Add([change]);
            else if (open.TryGetValue(change.SubjectId, out var group))
                group.Add(change);
            else
                groups.Add(open[change.SubjectId] = [change]);
            if (change.Topic == MlflowTopic.RunState)
                open.Remove(change.SubjectId);
        }
        return groups;
    }

    private static bool IsOfRun(MlflowChange change) => change.Topic is MlflowTopic.Run or MlflowTopic.RunState;

    /// <returns>False where what was sent before is pending again, and comes first.</returns>
    private async Task<bool> SendAsync(List<MlflowChange> group, CancellationToken cancellation)
    {
        var ids = group.Select(change => change.Id).ToList();
        var rows = context.MlflowChanges.Where(change => ids.Contains(change.Id));
        await rows.ExecuteUpdateAsync(set => set.SetProperty(change => change.Attempts, change => change.Attempts + 1), cancellation);
        var isAgain = group.Exists(change => change.Attempts > 0);
        group.ForEach(change => change.Attempts++);
        try
        {
            await ApplyAsync(group, isAgain, cancellation);
        }
        catch (MlflowException error)
        {
            if (error.IsMissing && await RestoreAsync(group[0], cancellation))
                return false;
            if (!error.IsRefusal && !await IsPoisonAsync(group, error, cancellation))
                throw;
            // One bad metric must not keep the others away; where the run itself is closed all of them are refused.
            if (group.Count > 1 && await runs.IsOpenAsync(group[0].SubjectId, cancellation))
                return await SendAsync(group[..(group.Count / 2)], cancellation) && await SendAsync(group[(group.Count / 2)..], cancellation);
            await SetAsideAsync(error.Message);
            return true;
        }
        catch (ArtifactStoreException error) when (error is not StoreAwayException)
        {
            await SetAsideAsync(ServerPaths.Hide(error.Message));
            return true;
        }
        catch (JsonException error)
        {
            await SetAsideAsync($"the registry cannot read the change ({error.Message})");
            return true;
        }
        var now = clock.GetUtcNow();
        await rows.ExecuteUpdateAsync(set => set.SetProperty(change => change.SentAt, now), cancellation);
        return true;

        Task SetAsideAsync(string reason)
        {
            log.LogWarning("A change of {Topic} {Subject} is set aside: {Reason}", group[0].Topic, group[0].SubjectId, reason);
            return rows.ExecuteUpdateAsync(set => set.SetProperty(change => change.Error, reason), cancellation);
        }
    }

    private Task ApplyAsync(List<MlflowChange> group, bool isAgain, CancellationToken cancellation)
    {
        var first = group[0];
        return first.Topic switch
        {
            MlflowTopic.Run or MlflowTopic.RunState => runs.ApplyAsync(
                first.SubjectId, RunNote.Merge([.. group.Select(change => RunNote.Parse(change.Body))]), isAgain, cancellation),
            MlflowTopic.Version => versions.ApplyAsync(first.SubjectId, JsonSerializer.Deserialize<List<string>>(first.Body)!, cancellation),
            _ => versions.ApplyAliasAsync(first.SubjectId, first.Body, cancellation),
        };
    }

    /// <summary>What a run or version was called is not known there: either all of it is gone, or this one alone.</summary>
    private async Task<bool> RestoreAsync(MlflowChange change, CancellationToken cancellation)
    {
        if (await experiment.LookAsync(cancellation))
            return true;
        if (!IsOfRun(change) || await context.MlflowLinks.Where(link => link.SubjectId == change.SubjectId).ExecuteDeleteAsync(cancellation) == 0)
            return false;
        log.LogWarning("MLflow has lost the run of pipeline {Pipeline}: it is sent again", change.SubjectId);
        await context.MlflowChanges.Where(row => row.SubjectId == change.SubjectId && row.SentAt != null)
            .ExecuteUpdateAsync(set => set.SetProperty(row => row.SentAt, (DateTimeOffset?)null), cancellation);
        return true;
    }

    private async Task<bool> IsPoisonAsync(List<MlflowChange> group, MlflowException error, CancellationToken cancellation)
    {
        var id = group[0].Id;
        var times = status.Suspects.GetValueOrDefault(id) + 1;
        status.Suspects.Remove(id);
        if (error.Code is null)
            return false;
        await api.SearchExperimentsAsync(new ExperimentSearch(1), cancellation);
        status.Suspects[id] = times;
        return times >= MostAttempts;
    }

    /// <summary>Removes what was sent long ago.</summary>
    public Task PruneAsync(DateTimeOffset before, CancellationToken cancellation) =>
        context.MlflowChanges.Where(change => change.SentAt < before).ExecuteDeleteAsync(cancellation);
}

/// <summary>The experiment of all runs, which also tells one server's database from another's.</summary>
internal sealed class MlflowExperiment(IMlflowApi api, IServiceScopeFactory scopes, MlflowOptions options, ILogger<MlflowExperiment> log)
{
    private string? _id;

    /// <summary>The experiment's id, as the last look found it.</summary>
    public string Id => _id ?? throw new InvalidOperationException("nobody has looked");

    /// <summary>Looks whether the experiment is still the one that it was, and creates it if need be.</summary>
    /// <returns>Whether the server has another database than before: then all that is kept is pending again.</returns>
    /// <exception cref="MlflowException">It was deleted there, or the server is away.</exception>
    public async Task<bool> LookAsync(CancellationToken cancellation)
    {
        var there = await FindAsync(cancellation);
        if (there.LifecycleStage is not (null or Experiment.Active))
            throw new MlflowException($"the experiment {options.Experiment} is deleted in MLflow: restore it there, or choose another with Mlflow:Experiment", null, null);
        _id = there.ExperimentId;
        return await IsOtherAsync(there, cancellation);
    }

    private async Task<Experiment> FindAsync(CancellationToken cancellation)
    {
        try
        {
            return (await api.GetExperimentByNameAsync(options.Experiment, cancellation)).Experiment;
        }
        catch (MlflowException error) when (error.IsMissing)
        {
            try
            {
                await api.CreateExperimentAsync(new ExperimentCreation(options.Experiment), cancellation);
            }
            catch (MlflowException other) when (other.Code == MlflowCodes.AlreadyExists)
            {
                // Somebody else was quicker.
            }
            return (await api.GetExperimentByNameAsync(options.Experiment, cancellation)).Experiment;
        }
    }

    /// <summary>Where it is not the experiment that it was, the server has another database: all that is kept is sent to it.</summary>
    private async Task<bool> IsOtherAsync(Experiment there, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var now = new MlflowLink { SubjectId = MlflowLink.Experiment, RemoteId = there.ExperimentId, Name = $"{there.CreationTime}" };
        return await context.ChangeAsync(async () =>
        {
            var before = await context.MlflowLinks.FindAsync([MlflowLink.Experiment], cancellation);
            if (before is not null && (before.RemoteId, before.Name) == (now.RemoteId, now.Name))
                return false;
            if (before is not null)
            {
                log.LogWarning("The MLflow server has another database than before: all changes that are kept are sent again");
                context.MlflowLinks.Remove(before);
                await context.MlflowLinks.Where(link => link.SubjectId != MlflowLink.Experiment).ExecuteDeleteAsync(cancellation);
                await context.MlflowChanges.Where(row => row.SentAt != null)
                    .ExecuteUpdateAsync(set => set.SetProperty(row => row.SentAt, (DateTimeOffset?)null), cancellation);
                await context.SaveChangesAsync(cancellation);
            }
            context.MlflowLinks.Add(now);
            return before is not null;
        }, ["mlflow_links"], cancellation);
    }
}

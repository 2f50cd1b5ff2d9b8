using System.Security.Cryptography;
using System.Text;
using k8s;
using k8s.Models;
using Qbb.Api;
using Qbb.Hosting.Startup;

namespace Qbb.Dispatcher;

/// <summary>The Job manifest of each queue, as the chart renders it.</summary>
internal sealed class JobTemplates(IReadOnlyDictionary<string, string> manifests)
{
    public IEnumerable<string> Queues => manifests.Keys;

    /// <summary>Reads a folder of QUEUE.yaml.</summary>
    /// <exception cref="StartupException">A file is not a Job.</exception>
    public static JobTemplates Read(string folder)
    {
        var manifests = Directory.EnumerateFiles(folder, "*.yaml").ToDictionary(file => Path.GetFileNameWithoutExtension(file), File.ReadAllText);
        if (manifests.Count == 0)
            throw new StartupException($"Dispatcher:Templates: there is no Job manifest (QUEUE.yaml) in {folder}");
        var templates = new JobTemplates(manifests);
        foreach (var queue in manifests.Keys)
        {
            try
            {
                var job = templates.Of(queue)!;
                if (job.Kind != "Job" || job.Spec?.Template?.Spec?.Containers is not [_, ..])
                    throw new FormatException(job.Kind == "Job" ? "it has no container" : $"its kind is {job.Kind}");
            }
            catch (Exception error) when (error is not StartupException)
            {
                throw new StartupException($"Dispatcher:Templates: {Path.Combine(folder, queue + ".yaml")} is not a Job manifest: {error.GetBaseException().Message}", error);
            }
        }
        return templates;
    }

    /// <summary>A new Job of a queue's template; null for a queue that Jobs do not serve.</summary>
    public V1Job? Of(string queue) => manifests.TryGetValue(queue, out var manifest) ? KubernetesYaml.Deserialize<V1Job>(manifest, strict: true) : null;
}

/// <summary>What is to be done to a Job.</summary>
internal abstract record JobAction(string Name)
{
    public sealed record Create(V1Job Job) : JobAction(Job.Metadata.Name);

    /// <summary>More units than pods were planned for.</summary>
    public sealed record Widen(string Name, int Parallelism) : JobAction(Name);

    public sealed record Delete(string Name, string Reason) : JobAction(Name);
}

/// <summary>
/// Decides on the Jobs: one per pipeline and stage with outstanding units, as many pods as units up to the template's limit. A pure function, so that
/// a restarted dispatcher, or a second one, decides the same; Jobs are found by their labels, and names are digests.
/// </summary>
internal static class JobPlan
{
    public const string Managed = "app.kubernetes.io/managed-by=qbb-dispatcher";
    public const string PipelineLabel = "qbb/pipeline";
    public const string StageLabel = "qbb/stage";

    // A plan knows neither the machine nor the other pipelines whose units its pods take; nodes may have to be started for them first.
    private const double Slack = 10;
    private static readonly TimeSpan s_start = TimeSpan.FromHours(1);

    /// <param name="work">What every running pipeline has outstanding.</param>
    /// <param name="jobs">The Jobs that there are.</param>
    /// <param name="templates">What Jobs are made of.</param>
    public static IReadOnlyList<JobAction> Of(IReadOnlyList<StageWork> work, IReadOnlyList<V1Job> jobs, JobTemplates templates)
    {
        var actions = new List<JobAction>();
        var running = work.Select(pipeline => $"{pipeline.Pipeline}").ToHashSet();
        foreach (var job in jobs.Where(job => !running.Contains(job.GetLabel(PipelineLabel)) && job.Metadata.DeletionTimestamp is null))
            actions.Add(new JobAction.Delete(job.Metadata.Name, "its pipeline has ended"));
        var byName = jobs.ToDictionary(job => job.Metadata.Name);
        foreach (var stage in work.Where(stage => stage.Units > 0))
        {
            if (templates.Of(stage.Queue) is not { } wanted)
                continue;
            wanted.Spec.Parallelism = Math.Min(stage.Units, wanted.Spec.Parallelism ?? 1);
            if (!byName.TryGetValue(NameOf(stage), out var job))
                actions.Add(new JobAction.Create(Named(wanted, stage)));
            else if (job.Metadata.DeletionTimestamp is null)
                actions.AddRange(Change(job, wanted.Spec.Parallelism.Value));
        }
        return actions;
    }

    public static string NameOf(StageWork stage) =>
        $"qbb-{stage.Queue}-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{stage.Pipeline}/{stage.Stage}")))[..20]}";

    private static IEnumerable<JobAction> Change(V1Job job, int parallelism)
    {
        var ended = job.Status?.Conditions?.FirstOrDefault(condition => condition is { Status: "True", Type: "Complete" or "Failed" })?.Type;
        // Its pods were idle and left; now there are units again, such as the next round or a retry. One that failed stays until its time to live is
        // over: that is the pause before the next try.
        if (ended == "Complete")
            yield return new JobAction.Delete(job.Metadata.Name, "it is complete and there are new units");
        else if (ended is null && job.Spec.Parallelism < parallelism)
            yield return new JobAction.Widen(job.Metadata.Name, parallelism);
    }

    private static V1Job Named(V1Job job, StageWork stage)
    {
        job.Metadata.Name = NameOf(stage);
        foreach (var metadata in new[] { job.Metadata, job.Spec.Template.Metadata ??= new() })
        {
            metadata.Labels ??= new Dictionary<string, string>();
            metadata.Labels["app.kubernetes.io/managed-by"] = "qbb-dispatcher";
            metadata.Labels[PipelineLabel] = $"{stage.Pipeline}";
            metadata.Labels[StageLabel] = stage.Stage;
        }
        var container = job.Spec.Template.Spec.Containers[0];
        container.Args = [.. container.Args ?? [], "--stage", stage.Stage];
        // By the plan, and never later than the template has it: pods that hang are given up long before the most that any stage may take.
        if (stage.Seconds is { } seconds)
            job.Spec.ActiveDeadlineSeconds = Math.Min(job.Spec.ActiveDeadlineSeconds ?? long.MaxValue, (long)Math.Min(s_start.TotalSeconds + Slack * seconds, int.MaxValue));
        return job;
    }
}

using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using k8s;
using k8s.Models;
using Qbb.Api;
using Qbb.Hosting.Startup;

namespace Qbb.Dispatcher;

/// <summary>The Job manifest of each queue, as the chart renders it; where that asks for GPUs, a second one for units that use none.</summary>
internal sealed class JobTemplates(IReadOnlyDictionary<string, string> manifests)
{
    private const string WithoutGpu = ".cpu";

    public IEnumerable<string> Queues => manifests.Keys.Where(name => !name.EndsWith(WithoutGpu, StringComparison.Ordinal));

    /// <summary>Reads a folder of QUEUE.yaml and QUEUE.cpu.yaml.</summary>
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
                var job = templates.Find(queue)!;
                if (job.Kind != "Job" || job.Spec?.Template?.Spec?.Containers is not [_, ..])
                    throw new FormatException(job.Kind == "Job" ? "it has no container" : $"its kind is {job.Kind}");
                _ = JobGpu.Of(job);
            }
            catch (Exception error) when (error is not StartupException)
            {
                throw new StartupException($"Dispatcher:Templates: {Path.Combine(folder, queue + ".yaml")} is not a Job manifest: {error.GetBaseException().Message}", error);
            }
        }
        return templates;
    }

    /// <summary>A new Job of a queue's template; null for a queue that Jobs do not serve.</summary>
    /// <param name="queue">The queue.</param>
    /// <param name="gpuBytes">What its units need of a GPU's memory; 0 where they use none, null where that is not known.</param>
    public V1Job? Of(string queue, long? gpuBytes)
    {
        if (gpuBytes == 0 && Find(queue + WithoutGpu) is { } without)
            return without;
        var job = Find(queue);
        if (job is not null && gpuBytes > 0 && JobGpu.Of(job) is { } gpu)
            gpu.Ask(job, gpuBytes.Value);
        return job;
    }

    private V1Job? Find(string name) => manifests.TryGetValue(name, out var manifest) ? KubernetesYaml.Deserialize<V1Job>(manifest, strict: true) : null;
}

/// <summary>The GPUs that a template asks for, by its annotations and limits.</summary>
/// <param name="Resource">Their resource's name.</param>
/// <param name="Bytes">The memory that one of it stands for; null where the template does not say.</param>
/// <param name="Most">How many a pod may have.</param>
internal sealed record JobGpu(string Resource, long? Bytes, int Most)
{
    public const string ResourceName = "qbb/gpu-resource", Gigabytes = "qbb/gpu-gigabytes";

    /// <summary>Null for a template without GPUs.</summary>
    /// <exception cref="FormatException">The annotations and the limits do not go together.</exception>
    public static JobGpu? Of(V1Job job)
    {
        if (job.GetAnnotation(ResourceName) is not { } resource)
            return null;
        var most = CountOf(job, resource);
        if (most < 1)
            throw new FormatException($"its annotation {ResourceName} is {resource}, which is not among the limits of its first container");
        if (job.GetAnnotation(Gigabytes) is not { } text)
            return new(resource, null, most);
        return double.TryParse(text, CultureInfo.InvariantCulture, out var size) && size > 0 && size <= 1e6
            ? new(resource, (long)(size * 1e9), most)
            : throw new FormatException($"its annotation {Gigabytes} is {text}; give gigabytes, above 0 and up to 1000000");
    }

    /// <summary>How many a Job's pods ask for.</summary>
    public static int CountOf(V1Job job, string resource) =>
        job.Spec?.Template?.Spec?.Containers is [{ Resources.Limits: { } limits }, ..] && limits.TryGetValue(resource, out var count) ? count.ToInt32() : 0;

    /// <summary>Lets a Job ask for as many as so much memory takes.</summary>
    public void Ask(V1Job job, long bytes)
    {
        if (Bytes is { } each)
            job.Spec.Template.Spec.Containers[0].Resources.Limits[Resource] = new ResourceQuantity($"{Math.Clamp(bytes / each + (bytes % each > 0 ? 1 : 0), 1, Most)}");
    }
}

/// <summary>What is to be done to a Job.</summary>
internal abstract record JobAction(string Name)
{
    /// <param name="Job">The Job.</param>
    /// <param name="Warning">What people should know of it.</param>
    public sealed record Create(V1Job Job, string? Warning = null) : JobAction(Job.Metadata.Name);

    /// <summary>More units than pods were planned for.</summary>
    public sealed record Widen(string Name, int Parallelism) : JobAction(Name);

    public sealed record Delete(string Name, string Reason) : JobAction(Name);
}

/// <summary>
/// Decides on the Jobs: one per pipeline and stage with outstanding units, as many pods as units up to the template's limit, with the GPUs that the plans
/// of its queue's units ask for. A pure function, so that a restarted dispatcher, or a second one, decides the same; Jobs are found by their labels, and
/// names are digests.
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
            // Pods take the units of their queue, whichever pipeline they belong to.
            var gpuBytes = MostGpuBytes(work.Where(other => other.Queue == stage.Queue));
            if (templates.Of(stage.Queue, gpuBytes) is not { } wanted)
                continue;
            wanted.Spec.Parallelism = Math.Min(stage.Units, wanted.Spec.Parallelism ?? 1);
            if (!byName.TryGetValue(NameOf(stage), out var job))
                actions.Add(new JobAction.Create(Named(wanted, stage), Shortage(wanted, gpuBytes)));
            else if (job.Metadata.DeletionTimestamp is null)
                actions.AddRange(Change(job, wanted));
        }
        return actions;
    }

    public static string NameOf(StageWork stage) =>
        $"qbb-{stage.Queue}-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{stage.Pipeline}/{stage.Stage}")))[..20]}";

    /// <summary>Null where one of them is not known: then the template decides.</summary>
    private static long? MostGpuBytes(IEnumerable<StageWork> work) =>
        work.Aggregate((long?)0, (most, stage) => most is { } known && stage.GpuBytes is { } bytes ? Math.Max(known, bytes) : null);

    private static string? Shortage(V1Job job, long? gpuBytes) => gpuBytes is { } bytes && JobGpu.Of(job) is { Bytes: { } each, Most: var most } && bytes > each * most
        ? $"by the plan its units need {bytes / 1e9:0.#} GB of GPU memory and its pods have {each * most / 1e9:0.#} GB: give it a larger GPU (gpu.gigabytes), or start the pipeline with a smaller batch or context"
        : null;

    private static IEnumerable<JobAction> Change(V1Job job, V1Job wanted)
    {
        var parallelism = wanted.Spec.Parallelism!.Value;
        var ended = job.Status?.Conditions?.FirstOrDefault(condition => condition is { Status: "True", Type: "Complete" or "Failed" })?.Type;
        // Its pods were idle and left; now there are units again, such as the next round or a retry. One that failed stays until its time to live is
        // over: that is the pause before the next try.
        if (ended == "Complete")
            yield return new JobAction.Delete(job.Metadata.Name, "it is complete and there are new units");
        // Pods cannot be given GPUs; what they have in hand another pod does again.
        else if (ended is null && JobGpu.Of(wanted) is { } gpu && JobGpu.CountOf(job, gpu.Resource) < JobGpu.CountOf(wanted, gpu.Resource))
            yield return new JobAction.Delete(job.Metadata.Name, "units of its queue need more GPUs than its pods have");
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

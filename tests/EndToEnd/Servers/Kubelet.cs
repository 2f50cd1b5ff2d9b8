using k8s.Models;
using Qbb.Dispatcher.Tests;
using Qbb.Tests;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>
/// Runs the Jobs of a Kubernetes API, as the Job controller and a node would: as many pods as a Job is wide, none any more when one has succeeded, and
/// failures by its podFailurePolicy. A pod is the program that its container's image names, as a process for one stage, which spares the others' starts.
/// </summary>
internal sealed class Kubelet : IAsyncDisposable
{
    private readonly FakeKubernetes _kubernetes;
    private readonly string? _stage;
    private readonly Dictionary<string, List<Pod>> _pods = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;

    /// <param name="kubernetes">Has the Jobs.</param>
    /// <param name="stage">Whose pods are processes; null for none.</param>
    public Kubelet(FakeKubernetes kubernetes, string? stage = null)
    {
        (_kubernetes, _stage) = (kubernetes, stage);
        _loop = LoopAsync();
    }

    /// <summary>What every pod came to: the Job's stage, the exit code, and whether it was stopped because its Job was deleted.</summary>
    public List<(string Stage, int Code, bool JobDeleted)> Ended { get; } = [];

    /// <summary>What all pods said.</summary>
    public string Logs => string.Join("\n", Snapshot().Select(pod => pod.Process.Log));

    /// <summary>Kills a pod that is a process once there is one that works at a unit.</summary>
    public Task KillAsync(string sign) => EndAsync(pod => pod.Stage == _stage, sign, isNodeLost: false);

    /// <summary>Takes the node from under a pod of a stage: the control plane marks such a pod as the target of a disruption.</summary>
    public Task LoseNodeAsync(string stage, string sign) => EndAsync(pod => pod.Stage == stage, sign, isNodeLost: true);

    /// <summary>Pods that run.</summary>
    public int Running => Snapshot().Count(pod => !pod.Process.HasExited);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _loop;
        Snapshot().ForEach(pod => pod.Process.Dispose());
    }

    private async Task EndAsync(Func<Pod, bool> isWanted, string sign, bool isNodeLost)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        Pod? pod;
        while ((pod = Snapshot().Find(pod => isWanted(pod) && !pod.Process.HasExited && pod.Process.Log.Contains(sign, StringComparison.Ordinal))) is null)
            await Task.Delay(20, patience.Token);
        pod.IsDisrupted = isNodeLost;
        pod.Process.Kill();
    }

    private List<Pod> Snapshot()
    {
        lock (_pods)
            return [.. _pods.Values.SelectMany(pods => pods)];
    }

    private async Task LoopAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            lock (_pods)
            {
                foreach (var job in _kubernetes.All.Values)
                    Look(job);
                // Whose Job is deleted.
                foreach (var uid in _pods.Keys.Except(_kubernetes.All.Values.Select(job => job.Metadata.Uid)).ToList())
                    _pods[uid].ForEach(pod => End(pod, pod.Process.Kill, jobDeleted: true));
            }
            await Task.Delay(50);
        }
    }

    private void Look(V1Job job)
    {
        var pods = _pods.TryGetValue(job.Metadata.Uid, out var known) ? known : _pods[job.Metadata.Uid] = [];
        foreach (var pod in pods.Where(pod => pod.Process.HasExited))
            End(pod, () => { });
        if (job.Status?.Conditions is not null)
            return;
        var actions = pods.Where(pod => pod.Code is not (null or 0)).Select(pod => ActionOf(job.Spec.PodFailurePolicy, pod)).ToList();
        if (actions.Contains("FailJob") || actions.Count(action => action == "Count") > job.Spec.BackoffLimit)
        {
            pods.ForEach(pod => End(pod, pod.Process.Kill));
            _kubernetes.End(job.Metadata.Name, "Failed");
        }
        else if (pods.Any(pod => pod.Code == 0))
        {
            if (pods.All(pod => pod.Code is not null))
                _kubernetes.End(job.Metadata.Name, "Complete");
        }
        else
        {
            while (pods.Count(pod => pod.Code is null) < job.Spec.Parallelism)
                pods.Add(Start(job));
        }
    }

    // The first rule that fits decides; without one a failure counts.
    private static string ActionOf(V1PodFailurePolicy policy, Pod pod) => policy.Rules.FirstOrDefault(rule => rule.OnExitCodes is { } codes
        ? codes.OperatorProperty == "In" && codes.Values.Contains(pod.Code!.Value)
        : pod.IsDisrupted && rule.OnPodConditions.Any(condition => condition is { Type: "DisruptionTarget", Status: "True" }))?.Action ?? "Count";

    private Pod Start(V1Job job)
    {
        var (container, stage) = (job.Spec.Template.Spec.Containers[0], job.Metadata.Labels["qbb/stage"]);
        var program = container.Image.Split(':')[0];
        if (stage != _stage)
            return new Pod(stage, new ServiceApp(program, container.Env.Select(variable => $"{variable.Name.Replace("__", ":", StringComparison.Ordinal)}={variable.Value}").Concat(container.Args)));
        var port = FreePort.Next();
        var environment = container.Env.ToDictionary(variable => variable.Name, variable => variable.Value);
        environment["Urls"] = $"http://127.0.0.1:{port}";
        return new Pod(stage, new ServiceProcess(program, port, container.Args, environment));
    }

    private void End(Pod pod, Action end, bool jobDeleted = false)
    {
        if (pod.Code is not null)
            return;
        end();
        pod.Code = pod.Process.ExitAsync().GetAwaiter().GetResult();
        Ended.Add((pod.Stage, pod.Code.Value, jobDeleted));
    }

    private sealed record Pod(string Stage, IRunningService Process)
    {
        public int? Code { get; set; }

        public bool IsDisrupted { get; set; }
    }
}

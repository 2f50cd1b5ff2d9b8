using k8s.Models;
using Qbb.Dispatcher.Tests;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>
/// Runs the Jobs of a Kubernetes API as processes of this machine, as the Job controller and a node would: as many pods as a Job is wide, none any more
/// when one has succeeded, and failures by its podFailurePolicy. A pod is a program that its container's image names.
/// </summary>
internal sealed class Kubelet : IAsyncDisposable
{
    private readonly FakeKubernetes _kubernetes;
    private readonly Dictionary<string, List<Pod>> _pods = [];
    private readonly Dictionary<string, int> _failures = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;

    public Kubelet(FakeKubernetes kubernetes)
    {
        _kubernetes = kubernetes;
        _loop = LoopAsync();
    }

    /// <summary>What every pod came to: the Job's stage and the exit code.</summary>
    public List<(string Stage, int Code)> Ended { get; } = [];

    /// <summary>What all pods said.</summary>
    public string Logs => string.Join("\n", Snapshot().Select(pod => pod.Process.Log));

    /// <summary>Kills a pod of a stage once there is one that works at a unit.</summary>
    public async Task KillAsync(string stage, string sign)
    {
        while (true)
        {
            if (Snapshot().Find(pod => pod.Stage == stage && !pod.Process.HasExited && pod.Process.Log.Contains(sign, StringComparison.Ordinal)) is { } pod)
            {
                pod.Process.Kill();
                return;
            }
            await Task.Delay(20);
        }
    }

    /// <summary>Pods that run.</summary>
    public int Running => Snapshot().Count(pod => !pod.Process.HasExited);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _loop;
        Snapshot().ForEach(pod => pod.Process.Dispose());
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
                    _pods[uid].ForEach(pod => End(pod, pod.Process.Kill));
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
        var policy = job.Spec.PodFailurePolicy.Rules.Where(rule => rule.OnExitCodes is not null).SelectMany(rule => rule.OnExitCodes.Values.Select(code => (code, rule.Action))).ToDictionary();
        _failures[job.Metadata.Uid] = pods.Count(pod => pod.Code is not (null or 0));
        if (pods.Any(pod => pod.Code is { } code && policy.GetValueOrDefault(code) == "FailJob") || _failures[job.Metadata.Uid] > job.Spec.BackoffLimit)
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

    private static Pod Start(V1Job job)
    {
        var container = job.Spec.Template.Spec.Containers[0];
        var port = FreePort.Next();
        var environment = container.Env.ToDictionary(variable => variable.Name, variable => variable.Value);
        environment["Urls"] = $"http://127.0.0.1:{port}";
        return new Pod(job.Metadata.Labels["qbb/stage"], new ServiceProcess(container.Image.Split(':')[0], port, container.Args, environment));
    }

    private void End(Pod pod, Action end)
    {
        if (pod.Code is not null)
            return;
        end();
        pod.Code = pod.Process.ExitAsync().GetAwaiter().GetResult();
        Ended.Add((pod.Stage, pod.Code.Value));
    }

    private sealed record Pod(string Stage, ServiceProcess Process)
    {
        public int? Code { get; set; }
    }
}

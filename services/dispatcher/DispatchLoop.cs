using Microsoft.Extensions.Options;
using Qbb.Api;
using Qbb.Contracts;

namespace Qbb.Dispatcher;

/// <summary>
/// Looks at the registry and at the Jobs now and then and makes the Jobs what they should be. Nothing is remembered from one look to the next, so it
/// may be restarted or doubled at any time.
/// </summary>
internal sealed class DispatchLoop(
    IRegistryApi registry, JobApi jobs, JobTemplates templates, IOptions<DispatcherOptions> options, TimeProvider clock, ILogger<DispatchLoop> log)
    : BackgroundService
{
    private static readonly TimeSpan s_longest = TimeSpan.FromMinutes(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var poll = TimeSpan.FromSeconds(options.Value.PollSeconds);
        log.LogInformation("Running the queues {Queues} as Jobs in {Namespace}", string.Join(", ", templates.Queues), options.Value.Namespace);
        while (!stoppingToken.IsCancellationRequested)
        {
            var wait = poll;
            try
            {
                await LookAsync(stoppingToken);
            }
            catch (BusyApiException error)
            {
                log.LogWarning("Jobs are not up to date, retrying: {Reason}", error.Message);
                wait = TimeSpan.FromTicks(Math.Min(s_longest.Ticks, Math.Max(poll.Ticks, error.Wait?.Ticks ?? 0)));
            }
            catch (InvalidInputException error)
            {
                log.LogWarning("The registry's work is unknown, retrying: {Reason}", error.Message);
            }
            await Task.Delay(wait, clock, stoppingToken);
        }
    }

    internal async Task LookAsync(CancellationToken cancellation)
    {
        // Jobs first: one that was there before the registry was asked belongs to a pipeline that the registry would have named.
        var known = await jobs.ListAsync(cancellation);
        var work = await registry.ListWorkAsync(cancellation);
        foreach (var action in JobPlan.Of(work, known, templates))
        {
            switch (action)
            {
                case JobAction.Create create when await jobs.CreateAsync(create.Job, cancellation):
                    log.LogInformation("Created the Job {Job}, {Pods} pods", action.Name, create.Job.Spec.Parallelism);
                    if (create.Warning is { } warning)
                        log.LogWarning("The Job {Job}: {Warning}", action.Name, warning);
                    break;
                case JobAction.Widen widen when await jobs.WidenAsync(action.Name, widen.Parallelism, cancellation):
                    log.LogInformation("The Job {Job} has {Pods} pods now", action.Name, widen.Parallelism);
                    break;
                case JobAction.Delete delete when await jobs.DeleteAsync(action.Name, cancellation):
                    log.LogInformation("Deleted the Job {Job}: {Reason}", action.Name, delete.Reason);
                    break;
            }
        }
    }
}

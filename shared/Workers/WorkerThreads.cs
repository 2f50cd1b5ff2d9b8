using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Qbb.Workers;

/// <summary>Loads libtorch and gives it the threads that the configuration allows, before any unit runs.</summary>
internal sealed class WorkerThreads(IOptions<WorkerOptions> options) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        // Before units begin on several threads.
        Natives.Load();
        if (options.Value.Threads > 0)
            torch.set_num_threads(options.Value.Threads);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}

using Microsoft.Extensions.Options;
using Qbb.Workers.Models;

namespace Qbb.Workers.Units;

/// <summary>Tries what every unit needs of the machine.</summary>
public interface IMachineCheck
{
    /// <summary>What is wrong with the machine; null where nothing is.</summary>
    Task<MachineFault?> FindFaultAsync(CancellationToken cancellation);
}

/// <summary>Writes to the working folder and calculates on the device.</summary>
internal sealed class MachineCheck(ModelFolders folders, IOptions<WorkerOptions> options, TimeProvider clock) : IMachineCheck
{
    private const int Bytes = 1 << 20;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    public async Task<MachineFault?> FindFaultAsync(CancellationToken cancellation) =>
        await WriteAsync(cancellation) ?? await CalculateAsync(cancellation);

    private async Task<MachineFault?> WriteAsync(CancellationToken cancellation)
    {
        try
        {
            using var work = folders.NewFolder();
            await File.WriteAllBytesAsync(Path.Combine(work.Path, "check"), new byte[Bytes], cancellation);
            return null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return new MachineFault($"the working folder cannot be written: {error.Message}");
        }
    }

    private async Task<MachineFault?> CalculateAsync(CancellationToken cancellation)
    {
        try
        {
            // A driver that is broken may never answer.
            var sum = await Task.Run(Calculate, cancellation).WaitAsync(s_patience, clock, cancellation);
            return sum == Bytes ? null : Dead($"it calculates {sum} where {Bytes} is right");
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            return Dead(error is TimeoutException ? $"it does not answer within {s_patience.TotalSeconds:0} s" : error.Message);
        }

        static MachineFault Dead(string reason) => new($"the device cannot be used: {reason}. Restart this worker, and see the driver if that does not help", NeedsRestart: true);
    }

    private float Calculate()
    {
        using var scope = torch.NewDisposeScope();
        return torch.ones(Bytes, device: options.Value.ReadDevice()).sum().item<float>();
    }
}

using Qbb.Artifacts;
using Qbb.Contracts;

namespace Qbb.Workers.Tests;

/// <summary>Work that stores a new file each time, fails or waits, as a test wants it.</summary>
public sealed class MadeUpWork
{
    private int _runs;

    public IArtifactStore Store { get; set; } = null!;

    public Exception? Throws { get; set; }

    public bool Waits { get; set; }

    public int Runs => _runs;

    public TaskCompletionSource Started { get; } = new();

    public TaskCompletionSource Stopped { get; } = new();

    public async Task<SequencesSampled> RunAsync(SampleSequences command, CancellationToken cancellation)
    {
        Interlocked.Increment(ref _runs);
        Started.TrySetResult();
        if (Throws is { } error)
            throw error;
        try
        {
            if (Waits)
                await Task.Delay(Timeout.Infinite, cancellation);
        }
        catch (OperationCanceledException)
        {
            Stopped.TrySetResult();
            throw;
        }
        var blob = await Store.PutAsync(new MemoryStream(Guid.NewGuid().ToByteArray()), cancellation: cancellation);
        var manifest = new ArtifactManifest([KeyValuePair.Create("file", new ManifestEntry(blob.Digest, blob.Size))]);
        await manifest.PutAsync(Store, cancellation);
        return new SequencesSampled(command.PipelineId, command.Unit, manifest.Digest, 5);
    }
}

using System.Net;

namespace Qbb.Cli.Registry;

/// <summary>A file on its way to a registry, which tells how many bytes went.</summary>
internal sealed class FileContent(Stream file, Action<long> report) : HttpContent
{
    /// <summary>Copies what comes, and tells how many bytes did.</summary>
    public static async Task CopyAsync(Stream from, Stream to, Action<long> report, CancellationToken cancel)
    {
        var buffer = new byte[1 << 20];
        var done = 0L;
        while (await from.ReadAsync(buffer, cancel) is var count and > 0)
        {
            await to.WriteAsync(buffer.AsMemory(0, count), cancel);
            report(done += count);
        }
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken) =>
        CopyAsync(file, stream, report, cancellationToken);

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => CopyAsync(file, stream, report, CancellationToken.None);

    protected override bool TryComputeLength(out long length)
    {
        length = file.Length;
        return true;
    }
}

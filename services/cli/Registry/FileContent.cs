using System.Net;

namespace Qbb.Cli.Registry;

/// <summary>A file on its way to a registry, which tells how many bytes went.</summary>
internal sealed class FileContent(Stream file, Action<long> report) : HttpContent
{
    // From the beginning: a retry sends it again.
    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        var buffer = new byte[1 << 20];
        file.Position = 0;
        while (await file.ReadAsync(buffer, cancellationToken) is var count and > 0)
        {
            await stream.WriteAsync(buffer.AsMemory(0, count), cancellationToken);
            report(file.Position);
        }
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override bool TryComputeLength(out long length)
    {
        length = file.Length;
        return true;
    }
}

using System.Net.Mime;
using Microsoft.Net.Http.Headers;
using Qbb.Artifacts;
using Qbb.Contracts;

namespace Qbb.Registry.Http;

/// <summary>Answers with a blob, or with the range of it that is requested; memory does not depend on its size.</summary>
/// <param name="digest">Also the ETag.</param>
/// <param name="size">Bytes.</param>
/// <param name="name">For a browser that saves it.</param>
internal sealed class BlobResult(Digest digest, long size, string name) : IResult
{
    private const int BufferBytes = 256 << 10;

    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var (request, response) = (httpContext.Request, httpContext.Response);
        var headers = request.GetTypedHeaders();
        var tag = new EntityTagHeaderValue($"\"{digest}\"");
        response.GetTypedHeaders().ETag = tag;
        response.Headers.AcceptRanges = "bytes";
        // The bytes of a digest never change.
        response.Headers.CacheControl = "private, max-age=31536000, immutable";
        if (headers.IfNoneMatch.Any(known => known.Compare(tag, useStrongComparison: false)))
        {
            response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }
        var (offset, length, isPart) = (0L, size, false);
        if (headers.Range is { Unit.Value: "bytes", Ranges.Count: 1 } asked && IsCurrent(headers.IfRange, tag))
        {
            if (Resolve(asked.Ranges.First()) is not { } range)
            {
                response.StatusCode = StatusCodes.Status416RangeNotSatisfiable;
                response.Headers.ContentRange = $"bytes */{size}";
                return;
            }
            (offset, length, isPart) = (range.Offset, range.Length, true);
            response.StatusCode = StatusCodes.Status206PartialContent;
            response.Headers.ContentRange = $"bytes {offset}-{offset + length - 1}/{size}";
        }
        response.ContentType = MediaTypeNames.Application.Octet;
        response.ContentLength = length;
        var disposition = new ContentDispositionHeaderValue("attachment");
        disposition.SetHttpFileName(name);
        response.Headers.ContentDisposition = disposition.ToString();
        if (HttpMethods.IsHead(request.Method))
            return;
        var store = httpContext.RequestServices.GetRequiredService<IArtifactStore>();
        await using var stream = await store.OpenReadAsync(digest, offset, isPart ? length : null, httpContext.RequestAborted);
        await stream.CopyToAsync(response.Body, BufferBytes, httpContext.RequestAborted);
    }

    private static bool IsCurrent(RangeConditionHeaderValue? condition, EntityTagHeaderValue tag) =>
        condition is null || condition.EntityTag?.Compare(tag, useStrongComparison: true) == true;

    private (long Offset, long Length)? Resolve(RangeItemHeaderValue range)
    {
        if (range.From is { } from)
            return from < size ? (from, Math.Min(range.To ?? long.MaxValue, size - 1) - from + 1) : null;
        var last = Math.Min(range.To ?? 0, size);
        return last > 0 ? (size - last, last) : null;
    }
}

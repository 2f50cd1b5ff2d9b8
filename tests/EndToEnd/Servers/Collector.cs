using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Qbb.EndToEnd.Tests.Servers;

/// <summary>An OpenTelemetry collector that keeps what it is sent by OTLP over gRPC: spans, names of metrics, and logs.</summary>
internal sealed class Collector : IAsyncDisposable
{
    private readonly WebApplication _app;

    private Collector(WebApplication app) => _app = app;

    public sealed record Span(string Service, string Name, string Trace, string Id, string Parent);

    public sealed record Log(string Service, string Text, string Trace);

    public string Url => _app.Urls.Single();

    public ConcurrentQueue<Span> Spans { get; } = [];

    public ConcurrentQueue<Log> Logs { get; } = [];

    /// <summary>Metrics by service.</summary>
    public ConcurrentDictionary<(string Service, string Metric), bool> Metrics { get; } = [];

    public static async Task<Collector> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0").ConfigureKestrel(kestrel => kestrel.ConfigureEndpointDefaults(listen => listen.Protocols = HttpProtocols.Http2));
        var collector = new Collector(builder.Build());
        collector._app.MapPost("/opentelemetry.proto.collector.{signal}.v1.{name}/Export", collector.ExportAsync);
        await collector._app.StartAsync();
        return collector;
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private async Task ExportAsync(HttpContext http, string signal)
    {
        using var body = new MemoryStream();
        await http.Request.Body.CopyToAsync(body);
        // A byte that says whether it is compressed, and the length, come before the message.
        var request = new Message(body.ToArray().AsMemory(5));
        BinaryPrimitives.ReadInt32BigEndian(body.GetBuffer().AsSpan(1)).ShouldBe(request.Bytes.Length);
        foreach (var resource in request.All(1))
        {
            var service = resource.All(1).SelectMany(attributes => attributes.All(1)).Single(attribute => attribute.Text(1) == "service.name").All(2).Single().Text(1);
            foreach (var item in resource.All(2).SelectMany(scope => scope.All(2)))
            {
                if (signal == "trace")
                    Spans.Enqueue(new(service, item.Text(5), item.Hex(1), item.Hex(2), item.Hex(4)));
                else if (signal == "metrics")
                    Metrics[(service, item.Text(1))] = true;
                else
                    Logs.Enqueue(new(service, item.All(5).Single().Text(1), item.Hex(9)));
            }
        }
        http.Response.ContentType = "application/grpc";
        await http.Response.Body.WriteAsync(new byte[5]);
        http.Response.AppendTrailer("grpc-status", "0");
    }

    /// <summary>A message of protobuf: numbered fields, of which those with a length are kept.</summary>
    private sealed class Message
    {
        private readonly List<(int Field, ReadOnlyMemory<byte> Value)> _fields = [];

        public Message(ReadOnlyMemory<byte> bytes)
        {
            Bytes = bytes;
            for (var at = 0; at < bytes.Length;)
            {
                var tag = Varint(ref at);
                switch (tag & 7)
                {
                    case 0:
                        Varint(ref at);
                        break;
                    case 1:
                        at += 8;
                        break;
                    case 2:
                        var length = (int)Varint(ref at);
                        _fields.Add(((int)(tag >> 3), bytes.Slice(at, length)));
                        at += length;
                        break;
                    case 5:
                        at += 4;
                        break;
                    default:
                        throw new InvalidDataException($"wire type {tag & 7}");
                }
            }
        }

        public ReadOnlyMemory<byte> Bytes { get; }

        public IEnumerable<Message> All(int field) => _fields.Where(one => one.Field == field).Select(one => new Message(one.Value));

        public string Text(int field) => Encoding.UTF8.GetString(Value(field).Span);

        public string Hex(int field) => Convert.ToHexStringLower(Value(field).Span);

        private ReadOnlyMemory<byte> Value(int field) => _fields.Find(one => one.Field == field).Value;

        private ulong Varint(ref int at)
        {
            var value = 0UL;
            for (var shift = 0; ; shift += 7)
            {
                var part = Bytes.Span[at++];
                value |= (ulong)(part & 0x7f) << shift;
                if (part < 0x80)
                    return value;
            }
        }
    }
}

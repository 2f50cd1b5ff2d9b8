using System.Net;
using System.Text;
using Microsoft.Extensions.Time.Testing;

namespace Qbb.Api.Tests;

/// <summary>What the client does when the network, a proxy or a busy registry fails a request. No test waits: the clock is the tests' own.</summary>
public sealed class RetryTests
{
    private const string Model = """{"name":"tiny","description":"","versions":1,"latest":1,"aliases":{},"createdAt":"2026-11-29T00:00:00Z"}""";
    private const string Version = """{"model":"tiny","version":1,"manifest":"m","pipelines":[]}""";
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(2);

    private readonly FakeTimeProvider _clock = new();
    private readonly List<Sent> _sent = [];
    private readonly List<string> _told = [];

    [Fact]
    public async Task A_fault_is_retried_for_two_minutes_and_then_told()
    {
        using var api = Connect(sent => sent.Number == 0 ? Json(Model) : throw Broken());
        await api.GetModelAsync("tiny");
        var (error, took) = await FailAsync(api.GetModelAsync("tiny"));
        error.ShouldBeOfType<RegistryLostException>().Message.ShouldBe("the registry at http://registry/ has not answered for 120 s (it broke)");
        took.ShouldBeInRange(s_limit - TimeSpan.FromSeconds(11), s_limit + TimeSpan.FromSeconds(11));
        _sent.Count.ShouldBeInRange(10, 60);
        _told.ShouldBe(["it broke"], "once");
    }

    [Fact]
    public async Task A_registry_that_is_back_answers_the_same_call()
    {
        using var api = Connect(sent => sent.At < TimeSpan.FromSeconds(100) ? throw Broken() : Json(Model));
        (await DoneAsync(api.GetModelAsync("tiny"))).Name.ShouldBe("tiny");
        _sent[^1].At.ShouldBeInRange(TimeSpan.FromSeconds(100), TimeSpan.FromSeconds(112));
    }

    [Fact]
    public async Task An_address_where_nobody_ever_answered_is_not_retried()
    {
        using var api = Connect(_ => throw new HttpRequestException(HttpRequestError.ConnectionError, "Connection refused"));
        await Should.ThrowAsync<RegistryAwayException>(() => api.GetModelAsync("tiny"));
        _sent.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_registry_that_answered_before_may_be_started_again()
    {
        using var api = Connect(sent => sent.Number is 1 or 2 ? throw new HttpRequestException(HttpRequestError.ConnectionError, "Connection refused") : Json(Model));
        await api.GetModelAsync("tiny");
        await DoneAsync(api.GetModelAsync("tiny"));
        _sent.Count.ShouldBe(4);
    }

    [Theory]
    [InlineData(503, "30", 30)]
    [InlineData(429, "90", 90)]
    [InlineData(503, "Thu, 01 Jan 2026 00:00:45 GMT", 45)]
    public async Task Retry_after_is_honoured(int status, string after, int seconds)
    {
        _clock.SetUtcNow(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
        using var api = Connect(sent => sent.Number == 0 ? Busy(status, after) : Json(Model));
        await DoneAsync(api.GetModelAsync("tiny"));
        _sent.Count.ShouldBe(2);
        (_sent[1].At - _sent[0].At).TotalSeconds.ShouldBeInRange(seconds, seconds + 1.5);
    }

    [Fact]
    public async Task A_retry_after_beyond_the_limit_is_not_waited_for()
    {
        using var api = Connect(_ => Busy(503, "3600"));
        (await Should.ThrowAsync<RegistryLostException>(() => api.GetModelAsync("tiny"))).Message.ShouldBe(
            "the registry at http://registry/ is not available (the database is away)");
        _sent.Count.ShouldBe(1);
    }

    [Theory]
    [InlineData(400)]
    [InlineData(404)]
    [InlineData(409)]
    [InlineData(412)]
    [InlineData(500)]
    [InlineData(507)]
    public async Task What_the_registry_refuses_is_not_retried(int status)
    {
        using var api = Connect(_ => new HttpResponseMessage((HttpStatusCode)status));
        ((int)(await Should.ThrowAsync<RegistryRefusedException>(() => api.GetModelAsync("tiny"))).Status).ShouldBe(status);
        _sent.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Retries_of_a_post_have_one_key_and_two_posts_have_two()
    {
        using var api = Connect(sent => sent.Number % 2 == 0 ? throw Broken() : Json(Version));
        for (var call = 0; call < 2; call++)
            await DoneAsync(api.CreateVersionAsync("tiny", new VersionRequest([new FileEntry("config.json", Digest.Of("x"), 1)])));
        await DoneAsync(api.CreateVersionAsync("tiny", new VersionRequest([]), "my-own"));
        _sent.Select(sent => sent.Key).ShouldAllBe(key => !string.IsNullOrEmpty(key));
        (_sent[0].Key, _sent[2].Key, _sent[4].Key).ShouldBe((_sent[1].Key, _sent[3].Key, "my-own"));
        _sent[0].Key.ShouldNotBe(_sent[2].Key);
        _sent[1].Body.ShouldBe(_sent[0].Body);
        _sent[1].Body.ShouldContain("config.json");
    }

    [Fact]
    public async Task A_file_is_sent_again_from_its_beginning()
    {
        using var api = Connect(sent => sent.Number == 0 ? throw Broken() : new HttpResponseMessage(HttpStatusCode.Created));
        await DoneAsync(api.PutBlobAsync(Digest.Of("abc"), new StreamContent(new MemoryStream("abc"u8.ToArray()))));
        _sent.Select(sent => sent.Body).ShouldBe(["abc", "abc"]);
        _sent.ShouldAllBe(sent => sent.Key == null);
    }

    [Fact]
    public async Task A_body_that_cannot_be_sent_again_is_told()
    {
        using var api = Connect(sent => throw Broken());
        var (error, _) = await FailAsync(WithResultAsync(api.PutBlobAsync(Digest.Of("abc"), new StreamContent(new OneWayStream("abc"u8.ToArray())))));
        error.ShouldBeOfType<RegistryLostException>().Message.ShouldBe("the connection to the registry at http://registry/ broke, and the body of the request cannot be sent again");
        _sent.ShouldHaveSingleItem().Body.ShouldBe("abc");
    }

    [Fact]
    public async Task What_an_attempt_without_an_answer_deleted_is_deleted()
    {
        using var api = Connect(sent => sent.Number == 0 ? throw Broken() : new HttpResponseMessage(HttpStatusCode.NotFound));
        await DoneAsync(api.DeleteModelAsync("tiny"));
        _sent.Count.ShouldBe(2);
        await Should.ThrowAsync<RegistryRefusedException>(() => api.DeleteModelAsync("tiny"));
    }

    [Fact]
    public async Task An_answer_that_breaks_off_is_retried()
    {
        using var api = Connect(sent => sent.Number == 0 ? new HttpResponseMessage { Content = new StreamContent(new BreakingStream(Encoding.UTF8.GetBytes(Model), 20)) { Headers = { ContentType = new("application/json") } } } : Json(Model));
        (await DoneAsync(api.GetModelAsync("tiny"))).Name.ShouldBe("tiny");
        _sent.Count.ShouldBe(2);
    }

    [Fact]
    public async Task A_connection_that_nobody_takes_is_a_fault_and_not_a_cancellation()
    {
        using var api = Connect(_ => throw new OperationCanceledException("no connection within 10 s", new TimeoutException()));
        (await Should.ThrowAsync<RegistryAwayException>(() => api.GetModelAsync("tiny"))).Message.ShouldContain("no connection within 10 s");
    }

    [Fact]
    public async Task A_long_upload_that_breaks_late_has_two_minutes_again()
    {
        using var api = Connect(sent =>
        {
            if (sent.Number is 0 or 1)
            {
                _clock.Advance(TimeSpan.FromMinutes(30));
                throw Broken();
            }
            return new HttpResponseMessage(HttpStatusCode.Created);
        });
        await DoneAsync(api.PutBlobAsync(Digest.Of("x"), new ByteArrayContent([1])));
        _sent.Count.ShouldBe(3);
    }

    [Fact]
    public async Task A_download_resumes_at_the_byte_where_it_broke()
    {
        var bytes = new byte[1000];
        new Random(7).NextBytes(bytes);
        using var api = Connect(sent =>
        {
            var from = sent.Range is null ? 0 : int.Parse(sent.Range["bytes=".Length..^1]);
            return new HttpResponseMessage(from == 0 ? HttpStatusCode.OK : HttpStatusCode.PartialContent)
            {
                Content = new StreamContent(new BreakingStream(bytes[from..], 300)) { Headers = { ContentType = new("application/octet-stream") } },
            };
        });
        var to = new MemoryStream();
        var reports = new List<long>();
        await api.CopyFileAsync("tiny", "1", new FileEntry("f", Digest.FromHash(System.Security.Cryptography.SHA256.HashData(bytes)), bytes.Length), to, report: reports.Add);
        to.ToArray().ShouldBe(bytes);
        reports.ShouldBe([300, 600, 900, 1000]);
        _sent.Select(sent => sent.Range).ShouldBe([null, "bytes=300-", "bytes=600-", "bytes=900-"]);
    }

    [Fact]
    public async Task A_download_that_gets_no_byte_ends()
    {
        using var api = Connect(_ => new HttpResponseMessage
        {
            Content = new StreamContent(new BreakingStream([1], 0)) { Headers = { ContentType = new("application/octet-stream") } },
        });
        (await Should.ThrowAsync<RegistryLostException>(() => api.CopyFileAsync("tiny", "1", new FileEntry("f", Digest.Of("f"), 10), new MemoryStream())))
            .Message.ShouldBe("the connection to the registry at http://registry/ breaks at byte 0 of f (it broke)");
        _sent.Count.ShouldBe(6);
    }

    [Fact]
    public async Task Without_retries_the_first_failure_is_told()
    {
        using var api = RegistryApi.Connect(new Uri("http://registry"), RetryOptions.None, new Network(this, sent => sent.Number == 0 ? Busy(503, "1") : throw Broken()));
        await Should.ThrowAsync<RegistryRefusedException>(() => api.GetModelAsync("tiny"));
        await Should.ThrowAsync<RegistryAwayException>(() => api.GetModelAsync("tiny"));
        _sent.Count.ShouldBe(2);
    }

    private IRegistryApi Connect(Func<Sent, HttpResponseMessage> answer) =>
        RegistryApi.Connect(new Uri("http://registry"), new RetryOptions { Clock = _clock, OnRetry = _told.Add }, new Network(this, answer));

    /// <summary>Lets the time pass until a call has ended.</summary>
    private async Task<T> DoneAsync<T>(Task<T> call)
    {
        while (!call.IsCompleted)
        {
            _clock.Advance(TimeSpan.FromSeconds(0.25));
            await Task.Yield();
        }
        return await call;
    }

    private Task DoneAsync(Task call) => DoneAsync(WithResultAsync(call));

    private static async Task<bool> WithResultAsync(Task call)
    {
        await call;
        return true;
    }

    private async Task<(Exception Error, TimeSpan Took)> FailAsync<T>(Task<T> call)
    {
        var begun = _clock.GetTimestamp();
        var error = await Should.ThrowAsync<Exception>(() => DoneAsync(call));
        return (error, _clock.GetElapsedTime(begun));
    }

    private static HttpRequestException Broken() => new(HttpRequestError.ResponseEnded, "it broke");

    private static HttpResponseMessage Json(string text) => new() { Content = new StringContent(text, Encoding.UTF8, "application/json") };

    private static HttpResponseMessage Busy(int status, string after)
    {
        var answer = new HttpResponseMessage((HttpStatusCode)status) { Content = new StringContent("""{"detail":"the database is away"}""", Encoding.UTF8, "application/problem+json") };
        answer.Headers.TryAddWithoutValidation("Retry-After", after);
        return answer;
    }

    private sealed record Sent(int Number, TimeSpan At, string? Key, string? Range, string Body);

    private sealed class Network(RetryTests test, Func<Sent, HttpResponseMessage> answer) : HttpMessageHandler
    {
        private readonly long _begun = test._clock.GetTimestamp();

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var body = new MemoryStream();
            if (request.Content is not null)
                await request.Content.CopyToAsync(body, cancellationToken);
            var sent = new Sent(
                test._sent.Count, test._clock.GetElapsedTime(_begun), request.Headers.TryGetValues("Idempotency-Key", out var keys) ? keys.Single() : null,
                request.Headers.TryGetValues("Range", out var ranges) ? ranges.Single() : null, Encoding.UTF8.GetString(body.ToArray()));
            test._sent.Add(sent);
            var answered = answer(sent);
            answered.RequestMessage = request;
            return answered;
        }
    }

    private sealed class OneWayStream(byte[] bytes) : MemoryStream(bytes)
    {
        public override bool CanSeek => false;
    }

    /// <summary>Breaks after some bytes, if it has more.</summary>
    private sealed class BreakingStream(byte[] bytes, int after) : MemoryStream(bytes)
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (Position >= after && Position < Length)
                throw new IOException("it broke");
            return await base.ReadAsync(Length > after ? buffer[..(int)Math.Min(buffer.Length, after - Position)] : buffer, cancellationToken);
        }

        public override async Task CopyToAsync(Stream destination, int bufferSize, CancellationToken cancellationToken)
        {
            var buffer = new byte[bufferSize];
            while (await ReadAsync(buffer, cancellationToken) is var count and > 0)
                await destination.WriteAsync(buffer.AsMemory(0, count), cancellationToken);
        }
    }
}

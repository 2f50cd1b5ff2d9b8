using System.Collections.Concurrent;
using System.ComponentModel;
using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Qbb.Registry.Data;
using Qbb.Registry.Webhooks;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Service;

/// <summary>Webhooks: what they are told, signed by whom, how often, and where they may lead.</summary>
public sealed class WebhookTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task Events_arrive_signed_as_cloud_events()
    {
        await using var receiver = await Receiver.StartAsync();
        await using var server = await RegistryServer.StartAsync(_folder, null, "--Webhooks:AllowPrivate=true");
        var made = await server.Api.SetWebhookAsync("ci", new WebhookChange(receiver.Url, ["version.created", "alias.moved", "pipeline.finished", "pipeline.failed"]));
        made.Secret!.ShouldStartWith("whsec_");
        (await server.Api.ListWebhooksAsync()).Items.Single().Secret.ShouldBeNull();
        await server.UploadAsync("tiny");
        var end = await server.EndOfAsync(await server.StartAsync("""{"decomposition":{"bases":2}}""", name: "two"));
        await RegistryServer.UntilAsync(() => Task.FromResult(receiver.Received.Count >= 4));
        var events = receiver.Received.Select(one => JsonNode.Parse(one.Body)!).ToList();
        events.Select(one => ((string?)one["type"], (string?)one["subject"])).ShouldBe(
            [("qbb.version.created", "tiny/1"), ("qbb.version.created", "tiny/2"), ("qbb.alias.moved", "tiny@champion"), ("qbb.pipeline.finished", $"{end.Id}")]);
        events.ShouldAllBe(one => (string?)one["specversion"] == "1.0" && (string?)one["source"] != null);
        ((int?)events[3]["data"]!["version"], (int?)events[2]["data"]!["version"]).ShouldBe((2, 2));
        foreach (var one in receiver.Received)
        {
            one.Headers["webhook-signature"].ShouldBe(Sign(made.Secret!, one));
            one.ContentType.ShouldStartWith("application/cloudevents+json");
        }
        receiver.Received.Select(one => one.Headers["webhook-id"]).Distinct().Count().ShouldBe(4);
        (await server.Client.GetStringAsync("/webhooks")).ShouldContain("delivered");
    }

    [Fact]
    public async Task A_receiver_that_fails_is_tried_again_later_and_given_up_at_last()
    {
        await using var receiver = await Receiver.StartAsync();
        await using var server = await RegistryServer.StartAsync(_folder, null, "--Webhooks:AllowPrivate=true", "--Webhooks:Attempts=3");
        await server.Api.SetWebhookAsync("ci", new WebhookChange(receiver.Url, ["version.created"]));
        receiver.Answer = http =>
        {
            http.Response.StatusCode = 503;
            http.Response.Headers.RetryAfter = "3600";
        };
        await server.UploadAsync("a");
        await server.UploadAsync("b");
        await RegistryServer.UntilAsync(async () => (await ListAsync()) is { Count: 2 } both && both.All(one => one.Status is not null));
        var first = (await ListAsync())[^1];
        (first.Status, first.Error).ShouldBe((503, "the receiver answered 503"));
        (first.DueAt - DateTimeOffset.UtcNow)!.Value.TotalMinutes.ShouldBeInRange(55, 61);
        receiver.Answer = _ => { };
        await DueNowAsync(server);
        await RegistryServer.UntilAsync(async () => (await ListAsync()).All(one => one.DeliveredAt is not null));
        receiver.Received.Where(one => one.IsAccepted).Select(one => (string?)JsonNode.Parse(one.Body)!["subject"]).ShouldBe(["a/1", "b/1"]);

        receiver.Answer = http => http.Response.StatusCode = 410;
        await server.UploadAsync("c");
        for (var attempt = 1; attempt <= 3; attempt++)
        {
            await RegistryServer.UntilAsync(async () => (await ListAsync())[0] is { Status: 410 } tried && tried.Attempts == attempt);
            await DueNowAsync(server, onlyPending: true);
        }
        var last = (await ListAsync())[0];
        (last.DueAt, last.DeliveredAt, last.Attempts).ShouldBe((null, null, 3));
        receiver.Answer = _ => { };
        await server.Api.RedeliverAsync("ci", last.Id);
        await RegistryServer.UntilAsync(async () => (await ListAsync())[0].DeliveredAt is not null);
        receiver.Received.Where(one => one.Body.Contains("c/1")).Select(one => one.Headers["webhook-id"]).Distinct().Count().ShouldBe(1);

        async Task<IReadOnlyList<WebhookDeliveryView>> ListAsync() => (await server.Api.ListDeliveriesAsync("ci")).Items;
    }

    [Fact]
    public async Task A_rotated_secret_signs_beside_the_old_one()
    {
        await using var receiver = await Receiver.StartAsync();
        await using var server = await RegistryServer.StartAsync(_folder, null, "--Webhooks:AllowPrivate=true");
        var old = (await server.Api.SetWebhookAsync("ci", new WebhookChange(receiver.Url, ["alias.moved"]))).Secret!;
        var renewed = (await server.Api.RotateWebhookAsync("ci")).Secret!;
        renewed.ShouldNotBe(old);
        await server.Api.PingWebhookAsync("ci");
        await RegistryServer.UntilAsync(() => Task.FromResult(!receiver.Received.IsEmpty));
        receiver.Received.TryPeek(out var one).ShouldBeTrue();
        one!.Headers["webhook-signature"].ShouldBe($"{Sign(renewed, one)} {Sign(old, one)}");
        ((string?)JsonNode.Parse(one.Body)!["type"]).ShouldBe("qbb.ping");
        await server.Api.RemoveWebhookAsync("ci");
        (await server.InDatabaseAsync(context => context.WebhookDeliveries.CountAsync())).ShouldBe(0);
    }

    [Fact]
    public async Task Private_addresses_are_not_connected_to_unless_allowed()
    {
        await using var receiver = await Receiver.StartAsync();
        await using var server = await RegistryServer.StartAsync(_folder);
        // A name is checked where it leads, at every connection; an address at once.
        await server.Api.SetWebhookAsync("ci", new WebhookChange(receiver.Url.Replace("127.0.0.1", "localhost"), ["alias.moved"]));
        await server.Api.PingWebhookAsync("ci");
        (await FailedAsync(server)).ShouldBe("localhost is a private address: set Webhooks:AllowPrivate to allow it");
        receiver.Received.ShouldBeEmpty();
        (await RegistryServer.RefusedAsync(HttpStatusCode.UnprocessableEntity, () => server.Api.SetWebhookAsync("x", new WebhookChange(receiver.Url, ["alias.moved"]))))
            .Errors.Single().ShouldBe("127.0.0.1 is a private address: set Webhooks:AllowPrivate to allow it");
        foreach (var address in (string[])["10.1.2.3", "127.0.0.1", "169.254.169.254", "172.31.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"])
            PublicConnections.IsPublic(IPAddress.Parse(address)).ShouldBeFalse(address);
        foreach (var address in (string[])["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"])
            PublicConnections.IsPublic(IPAddress.Parse(address)).ShouldBeTrue(address);
        var refused = await RegistryServer.RefusedAsync(HttpStatusCode.UnprocessableEntity, () => server.Api.SetWebhookAsync("x", new WebhookChange("ftp://a", ["nonsense"])));
        refused.Errors.Count.ShouldBe(2);
    }

    [Fact]
    public async Task Redirects_and_receivers_that_are_away_are_errors_that_say_so()
    {
        await using var receiver = await Receiver.StartAsync();
        await using var server = await RegistryServer.StartAsync(_folder, null, "--Webhooks:AllowPrivate=true");
        receiver.Answer = http => http.Response.Redirect("/elsewhere");
        await server.Api.SetWebhookAsync("ci", new WebhookChange(receiver.Url, ["alias.moved"]));
        await server.Api.PingWebhookAsync("ci");
        (await FailedAsync(server)).ShouldBe("the receiver answered 302: redirects are not followed");
        receiver.Received.Count.ShouldBe(1);
        var address = new Uri(receiver.Url).Authority;
        await receiver.DisposeAsync();
        await server.Api.PingWebhookAsync("ci");
        (await FailedAsync(server)).ShouldBe($"{address} refuses connections");
        await server.Api.SetWebhookAsync("ci", new WebhookChange("http://nowhere.invalid/", ["alias.moved"]));
        await server.Api.PingWebhookAsync("ci");
        (await FailedAsync(server)).ShouldBe("nowhere.invalid cannot be resolved");
    }

    [Fact]
    public async Task A_slow_receiver_holds_up_no_other_and_a_paused_one_waits()
    {
        var gate = new TaskCompletionSource();
        await using var slow = await Receiver.StartAsync(gate.Task);
        await using var quick = await Receiver.StartAsync();
        await using var server = await RegistryServer.StartAsync(_folder, null, "--Webhooks:AllowPrivate=true");
        await server.Api.SetWebhookAsync("slow", new WebhookChange(slow.Url, ["alias.moved"]));
        await server.Api.SetWebhookAsync("ci", new WebhookChange(quick.Url, ["alias.moved"]));
        await server.Api.PingWebhookAsync("slow");
        await RegistryServer.UntilAsync(() => Task.FromResult(slow.Asked > 0));
        await server.Api.PingWebhookAsync("ci");
        await RegistryServer.UntilAsync(() => Task.FromResult(quick.Received.Count == 1));
        slow.Received.ShouldBeEmpty();
        await server.Api.SetWebhookAsync("ci", new WebhookChange(quick.Url, ["alias.moved"], Paused: true));
        await server.Api.PingWebhookAsync("ci");
        gate.SetResult();
        await server.Api.PingWebhookAsync("slow");
        await RegistryServer.UntilAsync(() => Task.FromResult(slow.Received.Count == 2));
        quick.Received.Count.ShouldBe(1);
        await server.Api.SetWebhookAsync("ci", new WebhookChange(quick.Url, ["alias.moved"]));
        await RegistryServer.UntilAsync(() => Task.FromResult(quick.Received.Count == 2));
    }

    [Fact]
    public async Task A_delivery_that_a_crash_interrupted_is_sent_when_its_claim_runs_out_and_old_ones_are_removed()
    {
        await using var receiver = await Receiver.StartAsync();
        await using var server = await RegistryServer.StartAsync(_folder, null, "--Webhooks:AllowPrivate=true", "--Webhooks:KeepDays=10");
        var old = new Webhook { Id = Guid.CreateVersion7(), Name = "old", Url = receiver.Url, Events = ["alias.moved"], Secret = WebhookSignature.NewSecret(), CreatedAt = DateTimeOffset.UtcNow };
        WebhookDelivery Delivery(int days, DateTimeOffset? due) => new()
        {
            WebhookId = old.Id,
            EventId = Guid.CreateVersion7(),
            Type = "ping",
            Body = "{}",
            Attempts = 1,
            CreatedAt = DateTimeOffset.UtcNow.AddDays(-days),
            DueAt = due,
        };
        await server.InDatabaseAsync(context =>
        {
            context.Add(old);
            context.AddRange(Delivery(9, null), Delivery(11, null), Delivery(11, DateTimeOffset.UtcNow));
            return context.SaveChangesAsync();
        });
        await RegistryServer.UntilAsync(() => Task.FromResult(receiver.Received.Count == 1));
        var sender = server.Services.GetServices<IHostedService>().OfType<WebhookSender>().Single();
        await RegistryServer.UntilAsync(async () => (await server.Api.ListDeliveriesAsync("old")).Items is [{ DeliveredAt: not null, Attempts: 2 }, ..]);
        await sender.PruneAsync(CancellationToken.None);
        (await server.Api.ListDeliveriesAsync("old")).Items.Count.ShouldBe(1);
    }

    [Fact]
    public async Task The_documented_receiver_accepts_deliveries_and_nothing_else()
    {
        var document = await File.ReadAllTextAsync(Path.Combine(Reference.Root, "docs", "webhooks.md"));
        var program = _folder.File("receiver.py");
        await File.WriteAllTextAsync(program, document.Split("```python\n")[1].Split("```")[0]);
        await using var server = await RegistryServer.StartAsync(_folder, null, "--Webhooks:AllowPrivate=true");
        var secret = (await server.Api.SetWebhookAsync("ci", new WebhookChange("http://127.0.0.1:9000", ["alias.moved"]))).Secret!;
        using var receiver = StartPython(program, secret);
        try
        {
            var url = (await receiver.StandardOutput.ReadLineAsync())!["listening on ".Length..];
            await server.Api.SetWebhookAsync("ci", new WebhookChange(url, ["alias.moved"]));
            await server.Api.PingWebhookAsync("ci");
            (await receiver.StandardOutput.ReadLineAsync()).ShouldBe("qbb.ping ci {}");
            // The old secret of two is still accepted.
            await server.Api.RotateWebhookAsync("ci");
            await server.Api.PingWebhookAsync("ci");
            (await receiver.StandardOutput.ReadLineAsync()).ShouldBe("qbb.ping ci {}");

            var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
            (await PostAsync(now, "{}", "{ }")).ShouldBe(HttpStatusCode.Unauthorized);
            (await PostAsync(now - 400, "{}", "{}")).ShouldBe(HttpStatusCode.Unauthorized);

            async Task<HttpStatusCode> PostAsync(long time, string signed, string sent)
            {
                var id = Guid.CreateVersion7();
                var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = new StringContent(sent) };
                request.Headers.Add("webhook-id", $"{id}");
                request.Headers.Add("webhook-timestamp", $"{time}");
                request.Headers.Add("webhook-signature", WebhookSignature.Of([secret], id, time, signed));
                return (await server.Client.SendAsync(request)).StatusCode;
            }
        }
        finally
        {
            receiver.Kill();
        }
    }

    public void Dispose() => _folder.Dispose();

    private static Process StartPython(string program, string secret)
    {
        try
        {
            return Process.Start(new ProcessStartInfo("python3", [program]) { RedirectStandardOutput = true, RedirectStandardError = true, Environment = { ["WEBHOOK_SECRET"] = secret, ["PORT"] = "0" } })!;
        }
        catch (Win32Exception)
        {
            Assert.Skip("python3 is not installed");
            throw;
        }
    }

    private static async Task<string> FailedAsync(RegistryServer server)
    {
        WebhookDeliveryView? last = null;
        await RegistryServer.UntilAsync(async () => (last = (await server.Api.ListDeliveriesAsync("ci")).Items[0]).Error is not null);
        last!.DeliveredAt.ShouldBeNull();
        return last.Error!;
    }

    // As a receiver would: by the secret's bytes, over id, time and body.
    private static string Sign(string secret, Received one) => "v1," + Convert.ToBase64String(HMACSHA256.HashData(
        Convert.FromBase64String(secret["whsec_".Length..]), Encoding.UTF8.GetBytes($"{one.Headers["webhook-id"]}.{one.Headers["webhook-timestamp"]}.{one.Body}")));

    private static Task DueNowAsync(RegistryServer server, bool onlyPending = false) => server.InDatabaseAsync(context => context.WebhookDeliveries
        .Where(delivery => delivery.DeliveredAt == null && (!onlyPending || delivery.DueAt != null)).ExecuteUpdateAsync(set => set.SetProperty(delivery => delivery.DueAt, DateTimeOffset.UtcNow)));

    private sealed record Received(Dictionary<string, string> Headers, string ContentType, string Body, bool IsAccepted);

    private sealed class Receiver : IAsyncDisposable
    {
        private readonly IHost _host;

        private int _asked;

        private Receiver(Task? gate) => _host = new HostBuilder().ConfigureWebHost(web => web.UseKestrel(server => server.Listen(IPAddress.Loopback, 0)).Configure(app => app.Run(async http =>
        {
            using var reader = new StreamReader(http.Request.Body);
            var body = await reader.ReadToEndAsync();
            Interlocked.Increment(ref _asked);
            await (gate ?? Task.CompletedTask);
            Answer(http);
            Received.Enqueue(new(http.Request.Headers.ToDictionary(header => header.Key.ToLowerInvariant(), header => $"{header.Value}"), $"{http.Request.ContentType}", body, http.Response.StatusCode == 200));
        }))).Build();

        public ConcurrentQueue<Received> Received { get; } = new();

        public int Asked => Volatile.Read(ref _asked);

        public Action<HttpContext> Answer { get; set; } = _ => { };

        public string Url { get; private set; } = "";

        public static async Task<Receiver> StartAsync(Task? gate = null)
        {
            var receiver = new Receiver(gate);
            await receiver._host.StartAsync();
            receiver.Url = receiver._host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First() + "/hook";
            return receiver;
        }

        public async ValueTask DisposeAsync()
        {
            await _host.StopAsync();
            _host.Dispose();
        }
    }
}

using System.Net.Sockets;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Qbb.Hosting;
using Qbb.Hosting.Bus;
using Qbb.Registry.Data;

namespace Qbb.Registry.Webhooks;

/// <summary>Section <c>Webhooks</c> of the configuration.</summary>
public sealed class WebhookOptions
{
    public const string Section = "Webhooks";

    /// <summary>Whether webhooks may lead to addresses of private networks and of this machine.</summary>
    public bool AllowPrivate { get; set; }

    /// <summary>The registry's address, as the source of events; null: where it listens.</summary>
    public string? PublicUrl { get; set; }

    /// <summary>Seconds that a receiver may take to answer.</summary>
    [System.ComponentModel.DataAnnotations.Range(0.1, 300)]
    public double RequestSeconds { get; set; } = 10;

    /// <summary>Attempts before a delivery is given up; with 12 that is after 19 hours.</summary>
    [System.ComponentModel.DataAnnotations.Range(1, 100)]
    public int Attempts { get; set; } = 12;

    /// <summary>Days that deliveries are kept.</summary>
    [System.ComponentModel.DataAnnotations.Range(0, 10_000)]
    public double KeepDays { get; set; } = 30;
}

/// <summary>
/// Sends deliveries that are due: each webhook's one after another, webhooks at the same time. A delivery is claimed before it is sent, so that registries of one database share the work, and
/// one that a crash interrupts is due again when its claim runs out.
/// </summary>
internal sealed class WebhookSender(
    IServiceScopeFactory scopes, WebhookOptions options, IHostApplicationLifetime lifetime, TimeProvider clock, ILogger<WebhookSender> log) : BackgroundService
{
    private const int MostText = 500;
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_prune = TimeSpan.FromHours(1);
    private readonly TimeSpan _claim = TimeSpan.FromSeconds(options.RequestSeconds + 60);
    private readonly HttpClient _http = new(PublicConnections.Handler(options.AllowPrivate)) { Timeout = TimeSpan.FromSeconds(options.RequestSeconds) };
    private readonly Dictionary<Guid, Task> _busy = [];
    private DateTimeOffset _pruned;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await lifetime.ApplicationStarted.WhenCancelledAsync(stoppingToken);
        try
        {
            while (!stoppingToken.IsCancellationRequested)
            {
                await TryAsync(() => StartDueAsync(stoppingToken), stoppingToken);
                await Task.Delay(s_look, clock, stoppingToken);
            }
        }
        finally
        {
            await Task.WhenAll(_busy.Values);
        }
    }

    private async Task StartDueAsync(CancellationToken cancellation)
    {
        foreach (var (webhook, task) in _busy.ToList())
        {
            if (task.IsCompleted)
                _busy.Remove(webhook);
        }
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var now = clock.GetUtcNow();
        if (now - _pruned >= s_prune)
        {
            await PruneAsync(cancellation);
            _pruned = now;
        }
        var due = await context.Webhooks.Where(webhook => !webhook.IsPaused && context.WebhookDeliveries.Any(delivery => delivery.WebhookId == webhook.Id && delivery.DueAt <= now))
            .Select(webhook => webhook.Id).ToListAsync(cancellation);
        foreach (var webhook in due.Where(webhook => !_busy.ContainsKey(webhook)))
            _busy[webhook] = TryAsync(() => SendAllAsync(webhook, cancellation), cancellation);
    }

    /// <summary>Removes deliveries that ended long ago.</summary>
    internal async Task PruneAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var before = clock.GetUtcNow().AddDays(-options.KeepDays);
        await scope.ServiceProvider.GetRequiredService<RegistryContext>().WebhookDeliveries
            .Where(delivery => delivery.CreatedAt < before && delivery.DueAt == null).ExecuteDeleteAsync(cancellation);
    }

    // Never throws: what the database refuses now is due at the next look.
    private async Task TryAsync(Func<Task> work, CancellationToken stopping)
    {
        try
        {
            await work();
        }
        catch (Exception) when (stopping.IsCancellationRequested)
        {
            // What was claimed is due again when the claim runs out.
        }
        catch (Exception error)
        {
            log.LogWarning("Webhook deliveries failed, retrying: {Reason}", error.GetBaseException().Message);
        }
    }

    private async Task SendAllAsync(Guid id, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        while (await context.Webhooks.AsNoTracking().FirstOrDefaultAsync(webhook => webhook.Id == id && !webhook.IsPaused, cancellation) is { } webhook)
        {
            var now = clock.GetUtcNow();
            if (await context.WebhookDeliveries.AsNoTracking().Where(row => row.WebhookId == id && row.DueAt <= now).OrderBy(row => row.Id).FirstOrDefaultAsync(cancellation) is not { } delivery)
                return;
            var claimed = context.WebhookDeliveries.Where(row => row.Id == delivery.Id && row.Attempts == delivery.Attempts && row.DueAt <= now);
            if (await claimed.ExecuteUpdateAsync(
                set => set.SetProperty(row => row.Attempts, delivery.Attempts + 1).SetProperty(row => row.DueAt, now + _claim)
                    .SetProperty(row => row.Status, (int?)null).SetProperty(row => row.Error, (string?)null), cancellation) == 0)
            {
                continue;
            }
            delivery.Attempts++;
            await SendAsync(webhook, delivery, cancellation);
            // Unless it was requested again meanwhile.
            await context.WebhookDeliveries.Where(row => row.Id == delivery.Id && row.Attempts == delivery.Attempts).ExecuteUpdateAsync(
                set => set.SetProperty(row => row.DueAt, delivery.DueAt).SetProperty(row => row.DeliveredAt, delivery.DeliveredAt)
                    .SetProperty(row => row.Status, delivery.Status).SetProperty(row => row.Error, delivery.Error), cancellation);
        }
    }

    private async Task SendAsync(Webhook webhook, WebhookDelivery delivery, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        TimeSpan? asked = null;
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, webhook.Url) { Content = new StringContent(delivery.Body, Encoding.UTF8, "application/cloudevents+json") };
            string[] secrets = webhook is { OldSecret: { } old, OldSecretUntil: { } until } && until > now ? [webhook.Secret, old] : [webhook.Secret];
            request.Headers.Add("webhook-id", $"{delivery.EventId}");
            request.Headers.Add("webhook-timestamp", $"{now.ToUnixTimeSeconds()}");
            request.Headers.Add("webhook-signature", WebhookSignature.Of(secrets, delivery.EventId, now.ToUnixTimeSeconds(), delivery.Body));
            using var answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
            delivery.Status = (int)answer.StatusCode;
            if (answer.IsSuccessStatusCode)
            {
                (delivery.DeliveredAt, delivery.DueAt, delivery.Error) = (now, null, null);
                return;
            }
            asked = answer.Headers.RetryAfter is { } after ? after.Delta ?? after.Date - now : null;
            delivery.Error = $"the receiver answered {(int)answer.StatusCode}" + (answer.Headers.Location is null ? "" : ": redirects are not followed");
        }
        catch (HttpRequestException error)
        {
            (delivery.Status, delivery.Error) = (null, Cut(ReasonOf(error, new Uri(webhook.Url).Authority)));
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            (delivery.Status, delivery.Error) = (null, $"the receiver did not answer within {options.RequestSeconds:0.#} s (Webhooks:RequestSeconds)");
        }
        delivery.DueAt = delivery.Attempts < options.Attempts ? now + Backoff.ForDays(delivery.Attempts, asked) : null;
    }

    private static string ReasonOf(HttpRequestException error, string authority) => (error.HttpRequestError, error.InnerException) switch
    {
        (_, PrivateAddressException refused) => refused.Message,
        (HttpRequestError.NameResolutionError, _) => $"{authority} cannot be resolved",
        (HttpRequestError.ConnectionError, SocketException cause) => cause.SocketErrorCode == SocketError.ConnectionRefused ? $"{authority} refuses connections" : $"{authority} cannot be reached",
        (HttpRequestError.SecureConnectionError, var cause) => $"no TLS connection to {authority} ({cause?.GetBaseException().Message})",
        _ => $"{authority} ended the connection without a valid answer",
    };

    private static string Cut(string text) => text.Length <= MostText ? text : text[..MostText];

    public override void Dispose()
    {
        _http.Dispose();
        base.Dispose();
    }
}

using System.ComponentModel.DataAnnotations;
using System.Text.Json.Nodes;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Qbb.Artifacts;
using Qbb.Artifacts.Oci;
using Qbb.Contracts;
using Qbb.Hosting.Bus;
using Qbb.Hosting.Options;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Oci;

/// <summary>Section <c>Oci</c> of the configuration: OCI registries that policies may push champions to.</summary>
public sealed class OciOptions : IValidatableObject
{
    public const string Section = "Oci";

    public List<OciHost> Hosts { get; set; } = [];

    /// <summary>Attempts before a push is given up; with 12 that is after 19 hours.</summary>
    [Range(1, 100)]
    public int Attempts { get; set; } = 12;

    /// <summary>The settings of a host; null of one that may not be pushed to.</summary>
    public OciHost? Find(string host) => Hosts.Find(known => known.Host.Equals(host, StringComparison.OrdinalIgnoreCase));

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        foreach (var host in Hosts)
        {
            if (host.Host.Length == 0)
                yield return new("Oci:Hosts has an entry without Host; give a name such as registry.example.com:5000");
            if (host.PasswordFile is { } file && !File.Exists(file))
                yield return new($"the PasswordFile {file} of {host.Host} in Oci:Hosts does not exist");
        }
    }
}

/// <summary>An OCI registry.</summary>
public sealed class OciHost
{
    /// <summary>Its name, with the port if any, as in targets.</summary>
    public string Host { get; set; } = "";

    public string? User { get; set; }

    public string? Password { get; set; }

    /// <summary>A file with the password, read for every push.</summary>
    public string? PasswordFile { get; set; }

    /// <summary>Without TLS.</summary>
    public bool PlainHttp { get; set; }

    public OciCredentials? ReadCredentials() =>
        User is null ? null : new(User, PasswordFile is null ? Password ?? "" : OptionsExtensions.ReadSecret(PasswordFile));
}

/// <summary>Where a policy pushes champions to: oci://HOST/NAME:TAG, with {model} and {version} in name and tag.</summary>
internal static class OciTarget
{
    /// <summary>Why a policy cannot have the target; null where it can.</summary>
    public static string? ProblemOf(string target, OciOptions options) => Of(target, "model", 1) is not { } reference || reference.Tag.Contains(':')
        ? $"oci {target} must be of the form oci://HOST/NAME:TAG; {{model}} and {{version}} stand for the champion's"
        : options.Find(reference.Host) is not null ? null
        : $"oci names the host {reference.Host}, which the registry may not push to: the operator adds it to Oci:Hosts";

    /// <summary>The reference of a version; null where its name makes none.</summary>
    public static OciReference? Of(string target, string model, int version) =>
        OciReference.TryParse(target.Replace("{model}", model.ToLowerInvariant(), StringComparison.Ordinal).Replace("{version}", $"{version}", StringComparison.Ordinal));
}

/// <summary>Adds a push for every policy that wants a model's new champion, in the same transaction.</summary>
internal sealed class ChampionJournal(TimeProvider clock) : SaveChangesInterceptor
{
    public override async ValueTask<InterceptionResult<int>> SavingChangesAsync(
        DbContextEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default)
    {
        if (eventData.Context is RegistryContext context)
        {
            var crowned = context.ChangeTracker.Entries<Alias>().Where(entry => entry.Entity.Name == Alias.Champion
                && (entry.State == EntityState.Added || (entry.State == EntityState.Modified && entry.Property(alias => alias.VersionId).IsModified))).Select(entry => entry.Entity).ToList();
            if (crowned.Count > 0)
                await AddAsync(context, crowned, cancellationToken);
        }
        return await base.SavingChangesAsync(eventData, result, cancellationToken);
    }

    private async Task AddAsync(RegistryContext context, List<Alias> crowned, CancellationToken cancellation)
    {
        var policies = await context.Policies.AsNoTracking().Where(policy => policy.Oci != null).ToListAsync(cancellation);
        if (policies.Count == 0)
            return;
        var now = clock.GetUtcNow();
        foreach (var alias in crowned)
        {
            // Both may be new in this save.
            var model = await context.Models.FindAsync([alias.ModelId], cancellation);
            var version = await context.Versions.FindAsync([alias.VersionId], cancellation);
            foreach (var policy in policies.Where(policy => policy.AppliesTo(model!.Name)))
            {
                var target = OciTarget.Of(policy.Oci!, model!.Name, version!.Number);
                context.OciPushes.Add(new OciPush
                {
                    Policy = policy.Name,
                    VersionId = alias.VersionId,
                    Target = $"{target}" is { Length: > 0 } text ? text : policy.Oci!,
                    CreatedAt = now,
                    DueAt = target is null ? null : now,
                    Error = target is null ? $"{model.Name} makes no name in an OCI registry of {policy.Oci}" : null,
                });
            }
        }
    }
}

/// <summary>Pushes champions that are due, one registry of the database at a time; of several to one tag the newest.</summary>
internal sealed class ChampionPusher(IServiceScopeFactory scopes, IArtifactStore store, OciOptions options, TimeProvider clock, ILogger<ChampionPusher> log) : BackgroundService
{
    private const long Lock = 0x6f63692070757368;
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan s_keep = TimeSpan.FromDays(30);

    public static void Add(IHostApplicationBuilder builder)
    {
        builder.Services.AddValidatedOptions<OciOptions>(OciOptions.Section);
        var options = builder.Configuration.GetSection(OciOptions.Section).Read<OciOptions>();
        builder.Services.AddSingleton(options);
        // Without a host no policy can want a push.
        if (options.Hosts.Count > 0)
            builder.Services.AddSingleton<ISaveChangesInterceptor, ChampionJournal>().AddHostedService<ChampionPusher>();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await PushDueAsync(stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning("OCI pushes failed, retrying: {Reason}", error.GetBaseException().Message);
            }
            await Task.Delay(s_look, clock, stoppingToken);
        }
    }

    private async Task PushDueAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var now = clock.GetUtcNow();
        if (!await context.OciPushes.AnyAsync(push => push.DueAt <= now, cancellation))
            return;
        await using var held = await context.TryLockAsync(Lock, cancellation);
        if (held is null)
            return;
        await context.OciPushes.Where(push => push.DueAt == null && push.CreatedAt < now - s_keep).ExecuteDeleteAsync(cancellation);
        foreach (var push in await context.OciPushes.Where(push => push.DueAt <= now).OrderByDescending(push => push.Id).ToListAsync(cancellation))
        {
            if (await context.OciPushes.AnyAsync(later => later.Target == push.Target && later.Id > push.Id, cancellation))
                (push.DueAt, push.Error) = (null, "another version became champion before");
            else
                await PushAsync(context, push, cancellation);
            await context.SaveChangesAsync(cancellation);
        }
    }

    private async Task PushAsync(RegistryContext context, OciPush push, CancellationToken cancellation)
    {
        push.Attempts++;
        try
        {
            push.Digest = (await SendAsync(context, push, cancellation)).Value;
            (push.DoneAt, push.DueAt, push.Error) = (clock.GetUtcNow(), null, null);
        }
        catch (Exception error) when (error is OciException or ArtifactStoreException or IOException)
        {
            push.Error = ServerPaths.Hide(error is IOException ? "a file of the version or of the password cannot be read" : error.Message);
            push.DueAt = push.Attempts < options.Attempts && error is not OciException { IsPassing: false } ? clock.GetUtcNow() + Backoff.ForDays(push.Attempts) : null;
        }
    }

    private async Task<Digest> SendAsync(RegistryContext context, OciPush push, CancellationToken cancellation)
    {
        var target = OciReference.Parse(push.Target);
        if (options.Find(target.Host) is not { } host)
            throw new OciException($"the registry may not push to {target.Host}: add it to Oci:Hosts", System.Net.HttpStatusCode.Forbidden);
        var version = await context.Versions.AsNoTracking().Include(row => row.Model).SingleAsync(row => row.Id == push.VersionId, cancellation);
        var files = await context.Files.AsNoTracking().Where(file => file.VersionId == push.VersionId).ToListAsync(cancellation);
        JsonObject? config = null;
        if (files.Find(file => file.Name == "config.json") is { } described)
        {
            await using var stream = await store.OpenReadAsync(Digest.Parse(described.Digest), cancellation: cancellation);
            config = await PackedModel.ReadConfigAsync(stream, cancellation);
        }
        using var client = new OciClient(target, host.ReadCredentials(), host.PlainHttp, clock);
        var (manifest, _) = await OciTransfer.PushAsync(
            client, target.Tag, new PackedModel(version.Model.Name, $"{version.Number}", version.CreatedAt, config),
            [.. files.Select(file => new PackedFile(file.Name, Digest.Parse(file.Digest), file.Size))], file => store.OpenReadAsync(file.Digest, cancellation: cancellation),
            (_, _) => { }, cancellation);
        return manifest;
    }
}

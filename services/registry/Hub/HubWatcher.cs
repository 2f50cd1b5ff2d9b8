using System.Net;
using Microsoft.EntityFrameworkCore;
using Qbb.Artifacts;
using Qbb.Artifacts.Hub;
using Qbb.Contracts;
using Qbb.Hosting.Bus;
using Qbb.Hosting.Options;
using Qbb.Registry.Data;
using Qbb.Registry.Http;

namespace Qbb.Registry.Hub;

/// <summary>Takes the models of the hub that policies name, each commit once.</summary>
internal sealed class HubWatcher(IServiceScopeFactory scopes, HubClient client, HubOptions options, TimeProvider clock, ILogger<HubWatcher> log) : BackgroundService
{
    private const long Lock = 0x687562777463;
    private const int MostAttempts = 20;

    public static void Add(IHostApplicationBuilder builder)
    {
        var services = builder.Services;
        services.AddValidatedOptions<HubOptions>(HubOptions.Section);
        var options = builder.Configuration.GetSection(HubOptions.Section).Read<HubOptions>();
        var settings = options.ToSettings();
        services.AddSingleton(options);
        services.AddSingleton(provider => new HubClient(settings,
            new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(20), AutomaticDecompression = DecompressionMethods.None }, provider.GetRequiredService<TimeProvider>()));
        services.AddScoped<HubImporter>();
        if (!settings.IsOffline)
            services.AddHostedService<HubWatcher>();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await LookAsync(stoppingToken);
            }
            catch (Exception error) when (!stoppingToken.IsCancellationRequested)
            {
                log.LogWarning("Looking for new commits on the hub failed, retrying: {Reason}", error.GetBaseException().Message);
            }
            await Task.Delay(TimeSpan.FromSeconds(options.PollSeconds), clock, stoppingToken);
        }
    }

    private async Task LookAsync(CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var references = (await context.Policies.AsNoTracking().Where(policy => policy.Hub != null).OrderBy(policy => policy.Name).Select(policy => policy.Hub!).ToListAsync(cancellation))
            .Distinct().Select(HubReference.Parse).OfType<HubReference>().ToList();
        if (references.Count == 0)
            return;
        await using var held = await context.TryLockAsync(Lock, cancellation);
        if (held is null)
            return;
        foreach (var reference in references)
        {
            HubRevision? revision = null;
            string? problem = null;
            try
            {
                revision = await client.GetRevisionAsync(reference, cancellation);
            }
            catch (InvalidInputException error)
            {
                problem = error.Message;
                log.LogWarning("{Model} cannot be looked up: {Reason}", reference, problem);
            }
            await NoteAsync(SourceOf(reference), problem, cancellation);
            if (revision is not null)
                await TakeAsync(reference, revision, cancellation);
        }
    }

    /// <summary>What imports of a reference are filed under: one commit is taken once, whatever branches lead to it.</summary>
    public static string SourceOf(HubReference reference) => (reference with { Revision = "main" }).ToString()[HubReference.Scheme.Length..];

    /// <summary>Keeps why the hub could not be asked, for the page, until it can.</summary>
    private async Task NoteAsync(string source, string? problem, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var note = await context.HubImports.FindAsync([source, ""], cancellation);
        if (problem is null && note is not null)
            context.HubImports.Remove(note);
        else if (problem is not null)
            (note ?? context.HubImports.Add(new HubImport { Source = source, Commit = "", CreatedAt = clock.GetUtcNow() }).Entity).Error = problem;
        await context.SaveChangesAsync(cancellation);
    }

    private async Task TakeAsync(HubReference reference, HubRevision revision, CancellationToken cancellation)
    {
        await using var scope = scopes.CreateAsyncScope();
        var context = scope.ServiceProvider.GetRequiredService<RegistryContext>();
        var now = clock.GetUtcNow();
        var source = SourceOf(reference);
        var import = await context.HubImports.FindAsync([source, revision.Commit], cancellation);
        if (import is not null && (import.DueAt is not { } due || due > now))
            return;
        // Before the work: an import that ends with the process is due again.
        import ??= context.HubImports.Add(new HubImport { Source = source, Commit = revision.Commit, CreatedAt = now, DueAt = now }).Entity;
        import.Attempts++;
        await context.SaveChangesAsync(cancellation);
        try
        {
            await using var work = scopes.CreateAsyncScope();
            var made = await work.ServiceProvider.GetRequiredService<HubImporter>().ImportAsync(reference, revision, cancellation);
            import.VersionId = await context.Versions.Where(row => row.Model.Name == made.Model && row.Number == made.Version).Select(row => (Guid?)row.Id).FirstOrDefaultAsync(cancellation);
            (import.DueAt, import.Error) = (null, null);
            log.LogInformation("{Source} at {Commit} of the hub is {Model} version {Number}", source, revision.Commit, made.Model, made.Version);
        }
        catch (Exception error) when (!cancellation.IsCancellationRequested)
        {
            var isFinal = error is RefusedException || import.Attempts >= MostAttempts;
            import.DueAt = isFinal ? null : now + Backoff.After(import.Attempts, TimeSpan.FromSeconds(options.PollSeconds), TimeSpan.FromHours(1));
            import.Error = error is RefusedException or InvalidInputException or ArtifactStoreException ? ServerPaths.Hide(error.Message) : "the registry could not import it; see its log";
            log.LogWarning("{Source} at {Commit} of the hub cannot be imported{Next}: {Reason}", source, revision.Commit, isFinal ? "" : ", retrying", error.GetBaseException().Message);
        }
        await context.SaveChangesAsync(cancellation);
    }
}

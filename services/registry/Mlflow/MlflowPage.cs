using Microsoft.EntityFrameworkCore;
using Qbb.Registry.Data;
using Qbb.Registry.Mlflow.Client;
using Qbb.Registry.Pages;
using static Qbb.Registry.Pages.Pieces;

namespace Qbb.Registry.Mlflow;

/// <summary>How the exchange with MLflow goes: what is pending, what was refused.</summary>
internal static class MlflowPage
{
    private const int MostRows = 50;
    private static readonly Column[] s_columns = [new("Change"), new("Reason"), new("Created"), new("Attempts", IsNumber: true), new("")];

    private static readonly Column[] s_imports = [new("Version in MLflow"), new("Result"), new("Reason"), new("Found")];

    public static async Task<IResult> Show(HttpContext http, RegistryContext context, MlflowOptions options, TimeProvider clock, CancellationToken cancellation) =>
        PageLayout.Page(http, new PageParts("MLflow", Markup.Join([options.IsOn ? await OnAsync(http, context, options, clock.GetUtcNow(), cancellation) : Off(), Client(http)]))
        {
            Area = Area.Mlflow,
            IsLive = options.IsOn,
        });

    private static Markup Off() => Nothing(Markup.Of($"""
        <p>No MLflow server is configured. With one, every pipeline is a run there and every version a registered model version:</p>
        {Command("qbb up --set Mlflow:TrackingUri=https://mlflow.example.com")}
        """));

    private static Markup Client(HttpContext http) => Section("Using MLflow's client", Markup.Of($"""
        <p>MLflow’s Python client and command can read this registry directly:</p>
        {Command($"MLFLOW_TRACKING_URI={SiteAddress.Of(http)} mlflow artifacts download --artifact-uri models:/NAME@champion")}
        """));

    private static async Task<Markup> OnAsync(HttpContext http, RegistryContext context, MlflowOptions options, DateTimeOffset now, CancellationToken cancellation)
    {
        var status = http.RequestServices.GetRequiredService<MlflowStatus>();
        var changes = context.MlflowChanges.AsNoTracking();
        var pending = changes.Where(change => change.SentAt == null && change.Error == null);
        var count = await pending.CountAsync(cancellation);
        var oldest = await pending.OrderBy(change => change.Id).Select(change => (DateTimeOffset?)change.CreatedAt).FirstOrDefaultAsync(cancellation);
        var last = await changes.Where(change => change.SentAt != null).MaxAsync(change => change.SentAt, cancellation);
        var aside = await changes.Where(change => change.Error != null).OrderBy(change => change.Id).Take(MostRows).ToListAsync(cancellation);
        var imports = await context.MlflowImports.AsNoTracking().OrderByDescending(import => import.CreatedAt).Take(MostRows).ToListAsync(cancellation);
        var taken = imports.Select(import => import.VersionId).ToList();
        var versions = await context.Versions.AsNoTracking().Where(version => taken.Contains(version.Id)).Select(version => new { version.Id, version.Model.Name, version.Number })
            .ToDictionaryAsync(version => version.Id, version => (version.Name, version.Number), cancellation);
        var state = status.Error is null ? count == 0 ? "up to date" : "sending" : "waiting for the server";
        return Markup.Of($"""
            {Live("mlflow-state", Markup.Of($"""
                {Tiles([("State", Text(state), Text(status.Error)), ("Pending changes", Text(Numbers.Count(count)), oldest is null ? Markup.Empty : Markup.Of($"oldest {Numbers.Ago(oldest, now)}")), ("Last sent", Numbers.Ago(last, now), Markup.Empty)])}
                {Facts([("Server", Markup.Of($"""<a href="{options.TrackingUri}">{options.TrackingUri}</a>""")), ("Experiment", Text(options.Experiment)),
                    ("Not reached since", Numbers.Time(status.Since)), ("Next attempt", Numbers.Time(status.NextTry))])}
                """))}
            {(aside.Count == 0 ? Markup.Empty : Section("Refused changes", Markup.Of($"""
                <p>MLflow refused these. All others were sent without them. Correct the cause there, then retry.</p>
                {DataTable.Of("Refused changes", s_columns, aside.Select(change => Row(change, now)))}
                """)))}
            {(imports.Count == 0 ? Markup.Empty : Section("Imported versions", DataTable.Of("Imported versions", s_imports, imports.Select(import => Row(import, versions, now)))))}
            """);
    }

    private static Markup[] Row(MlflowImport import, Dictionary<Guid, (string Name, int Number)> versions, DateTimeOffset now) =>
    [
        Text($"{import.Name}/{import.Version}"),
        import.VersionId is { } id && versions.TryGetValue(id, out var here)
            ? Markup.Of($"""<a href="/models/{here.Name}/versions/{here.Number}">{here.Name} version {here.Number}</a>""")
            : Text(import.Error is null ? "importing" : import.DueAt is null ? "failed" : "retrying"),
        Text(import.Error), Numbers.Ago(import.CreatedAt, now),
    ];

    private static Markup[] Row(MlflowChange change, DateTimeOffset now) =>
    [
        Markup.Of($"{change.Id}: {Wire.NameOf(change.Topic)} {(change.Topic == MlflowTopic.Alias ? change.Body : $"{change.SubjectId}"[..8])}"),
        Text(change.Error), Numbers.Ago(change.CreatedAt, now), Text($"{change.Attempts}"),
        Markup.Of($"""
            <form method="post" action="/mlflow/retry"><input type="hidden" name="change" value="{change.Id}"><button aria-label="Retry change {change.Id}">Retry</button></form>
            <form method="post" action="/mlflow/discard"><input type="hidden" name="change" value="{change.Id}"><button aria-label="Discard change {change.Id}">Discard</button></form>
            """),
    ];
}

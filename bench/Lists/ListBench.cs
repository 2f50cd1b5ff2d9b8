using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Qbb.Api;
using Qbb.Hosting;
using Qbb.Registry;
using Qbb.Registry.Data;

namespace Qbb.Bench.Lists;

/// <summary>First pages of a registry of many models, each as long as a client waits for it, while pipelines run and are watched.</summary>
/// <param name="data">A folder.</param>
/// <param name="sizes">What is in the registry.</param>
/// <param name="settings">Of the registry, as --Section:Name=value.</param>
internal sealed class ListBench(string data, ListSizes sizes, IEnumerable<string> settings)
{
    private const int Requests = 100;
    private const int Watchers = 100;

    private static readonly string[] s_pages =
    [
        "/api/models", "/api/models?q=model-99", "/api/models/model-10/versions", "/api/search", "/api/search?sort=kl", "/api/search?sort=-kl&kind=quantized",
        "/api/search?metric=kl<=0.05&metric=bitsPerWeight<=3", "/api/search?alias=champion", "/api/search?q=no-such-model", "/api/search?tag=team:red",
        "/api/pipelines", "/api/pipelines?state=running", "/api/pipelines?model=model-10", "/", "/pipelines", "/models/model-10", "/search?metric=kl<=0.05&sort=kl",
    ];

    public async Task<IReadOnlyList<Figure>> RunAsync(Action<double> report, CancellationToken cancel)
    {
        string[] args =
        [
            "--Urls=http://127.0.0.1:0", $"--Artifacts:Folder={Path.Combine(data, "store")}", $"--Database:ConnectionString=Data Source={Path.Combine(data, "registry.db")}",
            "--Logging:LogLevel:Default=Error", .. settings,
        ];
        await using var app = ServiceHost.Build(args, "registry", "http://127.0.0.1:0", builder =>
        {
            builder.Logging.SetMinimumLevel(LogLevel.Error);
            builder.AddRegistry();
        }, app => app.MapRegistry());
        await ServiceHost.StartAsync(app, cancel);
        await FillAsync(app, cancel);
        using var client = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var watchers = Enumerable.Range(0, Watchers).Select(k => WatchAsync(app.Urls.First(), ListRows.IdText('d', k % Math.Max(1, sizes.Pipelines)), stop.Token)).ToList();
        var figures = new List<Figure>();
        foreach (var (index, page) in s_pages.Index())
        {
            var times = new List<double>();
            for (var request = 0; request < Requests; request++)
            {
                var start = Stopwatch.GetTimestamp();
                using var answer = await client.GetAsync(page, cancel);
                await answer.Content.ReadAsByteArrayAsync(cancel);
                times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                answer.EnsureSuccessStatusCode();
            }
            // The first requests compile what they run; the others are what people wait for.
            var sorted = times.Skip(Requests / 10).Order().ToList();
            figures.Add(new($"{page}, median", sorted[sorted.Count / 2], "ms"));
            figures.Add(new($"{page}, p95", sorted[sorted.Count * 95 / 100], "ms"));
            report((index + 1.0) / s_pages.Length);
        }
        await stop.CancelAsync();
        await Task.WhenAll(watchers);
        await app.StopAsync(CancellationToken.None);
        return figures;
    }

    private async Task FillAsync(WebApplication app, CancellationToken cancel)
    {
        await using var scope = app.Services.CreateAsyncScope();
        var database = scope.ServiceProvider.GetRequiredService<RegistryContext>().Database;
        database.SetCommandTimeout(TimeSpan.FromMinutes(10));
        await using var transaction = await database.BeginTransactionAsync(cancel);
        foreach (var statement in new ListRows(database.ProviderName!.Contains("Npgsql", StringComparison.Ordinal), sizes).Statements())
            await database.ExecuteSqlRawAsync(statement, cancel);
        await transaction.CommitAsync(cancel);
        // As a database of that size has them in the course of time.
        await database.ExecuteSqlRawAsync(database.ProviderName!.Contains("Npgsql", StringComparison.Ordinal) ? "VACUUM ANALYZE" : "ANALYZE", cancel);
    }

    private static async Task WatchAsync(string address, string pipeline, CancellationToken stop)
    {
        try
        {
            using var api = RegistryApi.Connect(new Uri(address));
            await foreach (var _ in api.WatchPipelineAsync(Guid.Parse(pipeline), stop))
            {
            }
        }
        catch (Exception) when (stop.IsCancellationRequested)
        {
            // The measurement is over.
        }
    }
}

/// <summary>What is in the registry.</summary>
/// <param name="Models">Models.</param>
/// <param name="Versions">Of all models; the first one of each is an upload, of which the others are quantized.</param>
/// <param name="Pipelines">Pipelines that run.</param>
internal sealed record ListSizes(int Models, int Versions, int Pipelines);

/// <summary>Rows of a registry, made by the database itself.</summary>
internal sealed class ListRows(bool isPostgres, ListSizes sizes)
{
    private const string Digest = "0000000000000000000000000000000000000000000000000000";
    private int Each => Math.Max(1, sizes.Versions / sizes.Models);

    /// <summary>The id of a row as text.</summary>
    public static string IdText(char kind, int number) => $"{kind}0000000-0000-7000-8000-{number:X12}";

    public IEnumerable<string> Statements()
    {
        var (model, version, number) = ($"i / {Each}", "i", $"1 + i % {Each}");
        yield return Insert("models", sizes.Models, ("Id", Id('a', "i")), ("Name", "'model-' || i"), ("Description", "'A model of the bench, number ' || i"), ("LastVersion", $"{Each}"), ("CreatedAt", Time("i")), ("Revision", "0"));
        yield return Insert("versions", sizes.Versions, ("Id", Id('b', version)), ("ModelId", Id('a', model)), ("Number", number), ("Manifest", $"'{Digest}' || {Hex("i")}"),
            ("Kind", $"CASE WHEN i % {Each} = 0 THEN 'Upload' ELSE 'Quantized' END"), ("Bytes", "1000000 + i"), ("CreatedAt", Time("i")), ("Revision", "0"));
        yield return Insert("lineages", sizes.Versions, $"i % {Each} > 0", ("VersionId", Id('b', version)), ("ParentId", Id('b', $"i - i % {Each}")), ("Recipe", $"'{Digest}' || {Hex("i % 40")}"),
            ("RecipeJson", """'{"decomposition":{"bases":3,"importance":"full"},"distillation":{"steps":60},"sampling":{"sequences":256}}'"""), ("RecipeName", "'recipe-' || (i % 40)"), ("ToolVersion", "'1.0.0'"));
        foreach (var (name, value) in new[] { ("kl", "(i * 7919 % 100003) / 100003.0"), ("bitsPerWeight", "2 + i % 3"), ("perplexity", "10 + i % 50"), ("teacherPerplexity", "9"), ("top1", "0.8"), ("bytes", "1000000 + i") })
            yield return Insert("metrics", sizes.Versions, $"i % {Each} > 0", ("VersionId", Id('b', version)), ("Name", $"'{name}'"), ("Value", value));
        yield return Insert("tags", sizes.Versions, "i % 500 = 1", ("VersionId", Id('b', version)), ("Key", "'team'"), ("Value", "CASE WHEN i % 1000 = 1 THEN 'red' ELSE 'blue' END"));
        yield return Insert("aliases", sizes.Models, ("ModelId", Id('a', "i")), ("Name", "'champion'"), ("VersionId", Id('b', $"i * {Each} + {Each - 1}")), ("UpdatedAt", Time("i")), ("IsHeld", isPostgres ? "false" : "0"), ("Revision", "0"));
        (string, string)[] pipeline =
        [
            ("ModelId", Id('a', "i % " + sizes.Models)), ("ModelName", $"'model-' || (i % {sizes.Models})"), ("SourceId", Id('b', $"(i % {sizes.Models}) * {Each}")),
            ("Model", $"'{Digest}' || {Hex($"(i % {sizes.Models}) * {Each}")}"), ("RecipeJson", """'{"decomposition":{"bases":3}}'"""), ("RecipeName", "'recipe'"),
            ("Route", """'{"calibrated":false,"distils":false,"samplesWindows":false}'"""), ("Issued", "8"), ("Total", "100"), ("Chained", isPostgres ? "false" : "0"), ("Given", "0"), ("Times", "'[]'"),
            ("CreatedAt", Time("i")), ("StartedAt", Time("i")), ("KindStartedAt", Time("i")), ("ActiveAt", Time("0")), ("Revision", "0"),
        ];
        yield return Insert("pipelines", sizes.Pipelines,
            [("Id", Id('d', "i")), ("Status", "'Running'"), ("Kind", "'Decompose'"), ("Done", "i % 8"), ("Recipe", $"'{Digest}' || {Hex("i")}"), .. pipeline]);
        yield return Insert("pipelines", sizes.Versions, $"i % {Each} > 0",
            [("Id", Id('c', "i")), ("Status", "CASE WHEN i % 50 = 3 THEN 'Failed' ELSE 'Succeeded' END"), ("Kind", "'Publish'"), ("Done", "1"), ("Recipe", $"'{Digest}' || {Hex("i % 40")}"), ("ResultId", Id('b', "i")), ("EndedAt", Time("i")), .. pipeline]);
    }

    private string Insert(string table, int rows, params (string Column, string Value)[] columns) => Insert(table, rows, "1 = 1", columns);

    // Braces would be parameters.
    private string Insert(string table, int rows, string condition, params (string Column, string Value)[] columns) => $"""
        INSERT INTO {table} ({string.Join(", ", columns.Select(column => $"\"{column.Column}\""))})
        WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < {rows - 1})
        SELECT {string.Join(", ", columns.Select(column => column.Value.Replace("{", "{{", StringComparison.Ordinal).Replace("}", "}}", StringComparison.Ordinal)))} FROM numbers WHERE {condition}
        """;

    private string Id(char kind, string number)
    {
        var text = $"'{kind}0000000-0000-7000-8000-' || {Hex(number)}";
        return isPostgres ? $"CAST({text} AS uuid)" : $"upper({text})";
    }

    private string Hex(string number) => isPostgres ? $"lpad(to_hex({number}), 12, '0')" : $"printf('%012x', {number})";

    /// <summary>So many minutes ago.</summary>
    private string Time(string minutes) => isPostgres ? $"now() - ({minutes}) * interval '1 minute'" : $"CAST(strftime('%s', 'now') AS INTEGER) * 1000000 - ({minutes}) * 60000000 + 62135596800000000";
}

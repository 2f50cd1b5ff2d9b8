using System.Globalization;
using Qbb.Cli.Terminal;

namespace Qbb.Cli.Registry;

/// <summary>What a registry holds, as tables for people.</summary>
internal static class RegistryTables
{
    public static void Print(IReadOnlyList<ModelView> models) => Table(
        "no models: qbb push MODEL uploads one", ["model", "versions", "champion", "aliases", "description"], models.Select(model => (string[])
        [
            model.Name, $"{model.Versions}", model.Aliases.TryGetValue(ModelReference.Champion, out var champion) ? $"{champion}" : "", Aliases(model),
            model.Description.ReplaceLineEndings(" "),
        ]));

    public static void Print(IReadOnlyList<VersionView> versions) => Table(
        "no versions", ["version", "recipe", "bits/weight", "size", "perplexity", "KL", "aliases", "tags", "created"], versions.Select(version => (string[])
        [
            $"{version.Version}", version.Kind == VersionKind.Upload ? "upload" : version.Lineage?.RecipeName ?? version.Lineage?.Recipe[..8] ?? "",
            Metric(version.Metrics, MetricNames.BitsPerWeight, "0.000"), Units.Bytes(version.Bytes), Metric(version.Metrics, MetricNames.Perplexity, "0.00"),
            Metric(version.Metrics, MetricNames.Kl, "0.0000"), string.Join(", ", version.Aliases), Tags(version), Time(version.CreatedAt),
        ]));

    public static void Print(IReadOnlyList<PipelineView> pipelines) => Table(
        "no pipelines", ["pipeline", "recipe", "of", "state", "result", "created"], pipelines.Select(pipeline => (string[])
        [
            $"{pipeline.Id}", PipelineStage.Name(pipeline), $"{pipeline.Model}@{pipeline.Version}", PipelineStage.Text(pipeline),
            pipeline.Result is { } result ? $"{result.Model}@{result.Version}" : "", Time(pipeline.CreatedAt),
        ]));

    public static void Print(IReadOnlyList<PolicyView> policies) => Table(
        "no policies: qbb policy set NAME --recipe FILE creates one", ["policy", "models", "recipes", "gate"], policies.Select(policy => (string[])
        [
            policy.Name, policy.Models, string.Join(", ", policy.Recipes.Select(recipe => recipe.Name)), policy.Gate is { } gate ? Limits(gate) : "",
        ]));

    public static void Print(ModelView model, GateView gate, IReadOnlyList<PipelineView> pipelines)
    {
        Facts([("model", model.Name), ("description", model.Description), ("versions", $"{model.Versions}, the newest {model.Latest}"), ("aliases", Aliases(model)),
            ("gate", $"{Limits(gate.Gate)}{(gate.Own ? "" : " (the default)")}"), ("champion", gate.Champion is { } champion ? $"{model.Name}@{champion}" : "none passes the gate"),
            .. gate.Refused.Select(refused => ($"version {refused.Key}", refused.Value))]);
        Print(pipelines);
    }

    public static void Print(VersionView version)
    {
        List<(string, string)> facts =
        [
            ("version", $"{version.Model}@{version.Version}"), ("manifest", version.Manifest), ("size", Units.Bytes(version.Bytes)), ("created", Time(version.CreatedAt)),
            ("aliases", string.Join(", ", version.Aliases)), ("tags", Tags(version)),
        ];
        if (version.Lineage is { } lineage)
            facts.AddRange([("from", $"{lineage.Parent.Model}@{lineage.Parent.Version}"), ("recipe", $"{lineage.RecipeName} {lineage.Choices.GetRawText()}"), ("pipeline", $"{lineage.Pipeline}")]);
        facts.AddRange(version.Metrics.OrderBy(metric => metric.Key, StringComparer.Ordinal).Select(metric => (metric.Key, metric.Value.ToString("0.######", CultureInfo.InvariantCulture))));
        Facts(facts);
        Table("no files", ["file", "size", "SHA-256"], (version.Files ?? []).Select(file => (string[])[file.Name, Units.Bytes(file.Size), file.Digest.Value]));
    }

    public static void Print(PipelineView pipeline)
    {
        Facts(
        [
            ("pipeline", $"{pipeline.Id}"), ("of", $"{pipeline.Model}@{pipeline.Version}"), ("recipe", PipelineStage.Name(pipeline)), ("state", PipelineStage.Text(pipeline)),
            ("ETA", PipelineStage.Left(pipeline)), ("error", pipeline.Error ?? ""), ("result", pipeline.Result is { } result ? $"{result.Model}@{result.Version}" : ""),
        ]);
        Table("", ["stage", "state", "units"], pipeline.Stages.Select(stage =>
            (string[])[Wire.NameOf(stage.Name), Wire.NameOf(stage.State), stage.Total > 0 ? $"{stage.Done} of {stage.Total}" : ""]));
    }

    /// <summary>Columns without a value are left out. Lines may be long: a name that is broken cannot be copied.</summary>
    private static void Table(string empty, string[] titles, IEnumerable<string[]> cells)
    {
        var rows = cells.ToList();
        if (rows.Count == 0)
        {
            Console.Out.WriteLine(empty);
            return;
        }
        int[] shown = [.. Enumerable.Range(0, titles.Length).Where(column => rows.Any(row => row[column].Length > 0))];
        foreach (var row in rows.Prepend(titles))
        {
            var line = string.Join("  ", shown.Select(column => row[column].PadRight(rows.Prepend(titles).Max(other => other[column].Length))));
            Console.Out.WriteLine(line.TrimEnd());
        }
    }

    private static void Facts(IEnumerable<(string Name, string Value)> facts)
    {
        var shown = facts.Where(fact => fact.Value.Length > 0).ToList();
        foreach (var (name, value) in shown)
            Console.Out.WriteLine($"{name.PadRight(shown.Max(fact => fact.Name.Length))}  {value}");
        Console.Out.WriteLine();
    }

    private static string Limits(Gate gate)
    {
        List<string> limits = [];
        if (gate.MaxPerplexityRatio is { } ratio)
            limits.Add(string.Create(CultureInfo.InvariantCulture, $"perplexity ratio ≤ {ratio}"));
        if (gate.MaxKl is { } kl)
            limits.Add(string.Create(CultureInfo.InvariantCulture, $"KL ≤ {kl}"));
        if (gate.MaxBitsPerWeight is { } bits)
            limits.Add(string.Create(CultureInfo.InvariantCulture, $"bits/weight ≤ {bits}"));
        return limits.Count == 0 ? "no limits" : string.Join(", ", limits);
    }

    private static string Aliases(ModelView model) => string.Join(", ", model.Aliases.OrderBy(alias => alias.Key, StringComparer.Ordinal).Select(alias => $"{alias.Key}={alias.Value}"));

    private static string Tags(VersionView version) => string.Join(", ", version.Tags.OrderBy(tag => tag.Key, StringComparer.Ordinal).Select(tag => $"{tag.Key}={tag.Value}"));

    private static string Time(DateTimeOffset time) => time.ToLocalTime().ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture);

    private static string Metric(IReadOnlyDictionary<string, double> metrics, string name, string format) =>
        metrics.TryGetValue(name, out var value) ? value.ToString(format, CultureInfo.InvariantCulture) : "";
}

using System.Globalization;
using System.Text.Json;
using Qbb.Cli.Terminal;
using Spectre.Console;

namespace Qbb.Cli.Registry;

/// <summary>The results of pipelines.</summary>
internal static class ResultTable
{
    public static async Task PrintAsync(IAnsiConsole screen, IRegistryApi registry, IReadOnlyList<PipelineView> pipelines, CancellationToken cancel)
    {
        // Narrow enough for 80 characters.
        var table = new Table().Border(TableBorder.None);
        foreach (var title in new[] { "recipe", "version" })
            table.AddColumn(new TableColumn(title).NoWrap().Padding(0, 0, 2, 0));
        foreach (var title in new[] { "bits/\nweight", "size", "perplexity", "KL", "before → after\ndistillation" })
            table.AddColumn(new TableColumn(title).RightAligned().NoWrap().Padding(0, 0, 2, 0));
        foreach (var pipeline in pipelines)
        {
            var bytes = pipeline.Metrics?.TryGetValue(MetricNames.Bytes, out var size) == true ? Units.Bytes((long)size) : "";
            table.AddRow(
                Markup.Escape(PipelineStage.Name(pipeline)), pipeline.Result is { } result ? $"{result.Version}" : Wire.NameOf(pipeline.State),
                Metric(pipeline, MetricNames.BitsPerWeight, "0.000"), bytes,
                Metric(pipeline, MetricNames.Perplexity, "0.00"), Metric(pipeline, MetricNames.Kl, "0.0000"),
                pipeline.Result is { } version ? await HeldOutAsync(registry, version, cancel) : "");
        }
        screen.WriteLine();
        screen.Write(table);
        screen.WriteLine();
        if (pipelines.Select(pipeline => Metric(pipeline, MetricNames.TeacherPerplexity, "0.00")).FirstOrDefault(text => text.Length > 0) is { } teacher)
        {
            Console.Out.WriteLine($"perplexity and KL (nats per token) on the evaluation text, where the model itself has perplexity {teacher};");
            Console.Out.WriteLine("before → after: perplexity on sequences that the distillation did not see");
        }
    }

    /// <summary>Perplexity on the sequences that were held out of the training, as the version's metrics.json tells; empty where nothing was distilled.</summary>
    private static async Task<string> HeldOutAsync(IRegistryApi registry, VersionName version, CancellationToken cancel)
    {
        try
        {
            await using var file = await registry.GetFileAsync(version.Model, $"{version.Version}", "metrics.json", cancellation: cancel);
            var distillation = (await JsonSerializer.DeserializeAsync<MetricsFile>(file, JsonSerializerOptions.Web, cancel))?.Distillation;
            return Perplexity(distillation?.Start) is { Length: > 0 } start ? $"{start} → {Perplexity(distillation?.End)}" : "";
        }
        catch (Exception error) when (error is InvalidInputException or JsonException or IOException)
        {
            return "";
        }
    }

    private static string Perplexity(Score? score) =>
        score?.CrossEntropy is { } entropy ? Math.Exp(entropy).ToString("0.00", CultureInfo.InvariantCulture) : "";

    private static string Metric(PipelineView pipeline, string name, string format) =>
        pipeline.Metrics?.TryGetValue(name, out var value) == true ? value.ToString(format, CultureInfo.InvariantCulture) : "";

    /// <summary>What is read of a version's metrics.json.</summary>
    private sealed record MetricsFile(Distillation? Distillation);

    private sealed record Distillation(Score? Start, Score? End);

    private sealed record Score(double? CrossEntropy);
}

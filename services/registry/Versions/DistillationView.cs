using System.Text.Json.Nodes;
using Qbb.Registry.Pages.Charts;
using Qbb.Registry.Pages.Shared;
using static Qbb.Registry.Pages.Shared.Pieces;

namespace Qbb.Registry.Pages;

/// <summary>How the distillation went, as the version's metrics.json tells.</summary>
internal static class DistillationView
{
    /// <param name="distillation">start, end, bestStep and curve; null where nothing was distilled.</param>
    public static Markup Of(JsonObject? distillation)
    {
        if (Score(distillation?["start"]) is not { } start || Score(distillation?["end"]) is not { } end)
            return Markup.Empty;
        var curve = (distillation!["curve"] as JsonArray ?? []).OfType<JsonObject>()
            .Select(point => (Step: Number(point["step"]), Score: Score(point["heldOut"])))
            .Where(point => point is { Step: not null, Score: not null })
            .Select(point => (Step: point.Step!.Value, Score: point.Score!.Value)).ToList();
        var best = Number(distillation["bestStep"]) is { } step ? (int?)step : null;
        var charts = new[]
        {
            CurveChart.Of(
                "KL divergence over steps", [.. curve.Select(point => (point.Step, point.Score.Kl))], best, "KL (nats)", "0.0000"),
            CurveChart.Of(
                "Perplexity over steps", [.. curve.Select(point => (point.Step, Math.Exp(point.Score.CrossEntropy)))], best, "perplexity", "0.00"),
        }.OfType<Markup>();
        return Section("Distillation", Markup.Of($"""
            {Tiles(
            [
                ("Perplexity", Text($"{Perplexity(start)} → {Perplexity(end)}"), Text("before and after, on sequences held out of the training")),
                ("KL divergence", Text($"{Numbers.Format(start.Kl, "0.0000")} → {Numbers.Format(end.Kl, "0.0000")}"), Text("nats per position, on the same sequences")),
            ])}
            <div class="figures">{charts.Select(chart => Markup.Of($"<figure>{chart}</figure>"))}</div>
            """));
    }

    private static string Perplexity((double Kl, double CrossEntropy) score) => Numbers.Format(Math.Exp(score.CrossEntropy), "0.00");

    private static (double Kl, double CrossEntropy)? Score(JsonNode? node) =>
        node is JsonObject score && Number(score["kl"]) is { } kl && Number(score["crossEntropy"]) is { } entropy ? (kl, entropy) : null;

    private static double? Number(JsonNode? node) => node is JsonValue value && value.TryGetValue<double>(out var number) && double.IsFinite(number) ? number : null;
}

using System.Globalization;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using Qbb.Registry.Data;
using Qbb.Registry.Pages;
using Qbb.Registry.Pages.Charts;
using Qbb.Registry.Versions;

namespace Qbb.Registry.Tests.Pages;

public sealed class ChartTests
{
    [Theory]
    [InlineData(2.375, 4.625, false)]
    [InlineData(0.0, 0.0, false)]
    [InlineData(-3.0, 1e6, false)]
    [InlineData(1.5, 90_000.0, true)]
    [InlineData(0.0286, 0.0287, false)]
    public void Marks_are_round_rise_and_stand_on_the_axis(double least, double most, bool mayBeLogarithmic)
    {
        var axis = new Axis([least, most], 100, 500, mayBeLogarithmic: mayBeLogarithmic);
        axis.Ticks.Count.ShouldBeInRange(2, 20);
        axis.Ticks.ShouldBe(axis.Ticks.Order());
        axis.Ticks.Select(axis.Place).ShouldAllBe(place => place >= 100 && place <= 500);
        axis.Ticks.Select(axis.Text).Distinct().Count().ShouldBe(axis.Ticks.Count);
        axis.Place(least).ShouldBeInRange(100, 500);
        axis.Place(most).ShouldBeInRange(100, 500);
    }

    [Fact]
    public void Every_measured_version_is_a_point_and_the_frontier_joins_the_unbeaten()
    {
        var chart = TradeOffChart.Of([Version(1, null, null), Version(2, 2.4, 45), Version(3, 3.5, 35), Version(4, 4.6, 40), Version(5, 4.6, 33, Alias.Champion)])!.Value.Text;
        var svg = XElement.Parse(chart.Replace("xlink:", ""));
        svg.Descendants("circle").Count().ShouldBe(4);
        svg.Descendants("circle").Count(dot => dot.Attribute("class")!.Value.Contains("champion")).ShouldBe(1);
        svg.Descendants("polyline").Single().Attribute("points")!.Value.Split(' ').Length.ShouldBe(3);
        var heights = svg.Descendants("circle").Select(dot => double.Parse(dot.Attribute("cy")!.Value, CultureInfo.InvariantCulture)).ToList();
        heights.ShouldAllBe(height => height >= Frame.Top && height <= Frame.Bottom);
        TradeOffChart.Of([Version(1, 2.4, 45)]).ShouldBeNull();
    }

    [Fact]
    public void The_lineage_has_a_box_for_each_version_and_a_line_for_each_parent()
    {
        LineageGraph.Node Node(int number, int? parent) => new(
            $"m@{number}", $"/models/m/versions/{number}", $"m v{number}", "<note>", parent is { } of ? $"m@{of}" : null, "recipe", "");
        var graph = XElement.Parse(LineageGraph.Of([Node(1, null), Node(2, 1), Node(3, 1), Node(4, 3), Node(5, 99)]).Text);
        graph.Descendants("rect").Count().ShouldBe(5);
        graph.Descendants("path").Count().ShouldBe(3);
        var places = graph.Descendants("rect").Select(box => (box.Attribute("x")!.Value, box.Attribute("y")!.Value)).ToList();
        places.Distinct().Count().ShouldBe(5);
    }

    [Fact]
    public void A_circle_in_the_lineage_ends()
    {
        LineageGraph.Node Node(int number, int parent) => new($"m@{number}", "/", "m", "", $"m@{parent}", "", "");
        LineageGraph.Of([Node(1, 2), Node(2, 1), new("m@3", "/", "m", "", null, "", "")]).Text.ShouldContain("svg");
    }

    [Fact]
    public void The_distillation_shows_perplexity_before_and_after()
    {
        var shown = DistillationView.Of((JsonObject)JsonNode.Parse("""
            { "start": { "kl": 0.3168, "crossEntropy": 3.7304 }, "end": { "kl": 0.2879, "crossEntropy": 3.7130 }, "bestStep": 20,
              "curve": [ { "step": 0, "heldOut": { "kl": 0.3168, "crossEntropy": 3.7304 } }, { "step": 20, "heldOut": { "kl": 0.2879, "crossEntropy": 3.7130 } } ] }
            """)!).Text;
        shown.ShouldContain("41.70 → 40.98");
        shown.ShouldContain("kept: 0.2879");
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{ "start": 1, "end": "x", "curve": {} }""")]
    [InlineData("""{ "start": { "kl": "NaN" }, "end": { "kl": 1, "crossEntropy": 1 } }""")]
    public void Metrics_that_make_no_sense_are_left_out(string json) => DistillationView.Of((JsonObject)JsonNode.Parse(json)!).Text.ShouldBeEmpty();

    [Fact]
    public void Layers_become_a_map()
    {
        var layers = new JsonArray();
        foreach (var (block, kind, error) in new[] { (0, "q_proj", 1.0), (1, "q_proj", 2.0), (0, "down_proj", 4.0) })
            layers.Add(new JsonObject { ["layer"] = $"model.layers.{block}.x.{kind}.weight", ["squaredError"] = error, ["squaredNorm"] = 100.0 });
        layers.Add(new JsonObject { ["layer"] = "<script>" });
        var map = LayerMap.Of(layers).Text;
        map.Split("<rect").Length.ShouldBe(4);
        map.ShouldContain("block 0, down: 0.04000");
        map.ShouldNotContain("<script>");
    }

    [Theory]
    [InlineData(999, "999 B")]
    [InlineData(1500, "1.50 kB")]
    [InlineData(13_300_000, "13.3 MB")]
    [InlineData(2_000_000_000, "2.00 GB")]
    public void Sizes_have_units(long bytes, string expected) => Numbers.Bytes(bytes).ShouldBe(expected);

    [Theory]
    [InlineData(9.6, "10 s")]
    [InlineData(200, "3 min 20 s")]
    [InlineData(7500, "2 h 05 min")]
    [InlineData(200_000, "2 d 07 h")]
    [InlineData(-5, "0 s")]
    public void Durations_have_units(double seconds, string expected) => Numbers.Duration(seconds).ShouldBe(expected);

    private static VersionView Version(int number, double? bits, double? perplexity, params string[] aliases)
    {
        var metrics = new Dictionary<string, double>();
        if (bits is { } b && perplexity is { } p)
            (metrics[MetricNames.BitsPerWeight], metrics[MetricNames.Perplexity], metrics[MetricNames.TeacherPerplexity]) = (b, p, 32);
        return new("m", number, new string('a', 64), VersionKind.Quantized, 1, DateTimeOffset.UnixEpoch, aliases, new Dictionary<string, string>(), metrics, null, null);
    }
}

using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Qbb.Api.Tests;

/// <summary>How values are written in JSON and in addresses.</summary>
public sealed class WireTests
{
    public static TheoryData<Type> Enums => [.. typeof(Wire).Assembly.GetExportedTypes().Where(type => type.IsEnum)];

    [Theory]
    [MemberData(nameof(Enums))]
    public void Every_value_of_an_enum_has_a_name_and_comes_back(Type type)
    {
        var names = Enum.GetValues(type).Cast<Enum>().Select(value =>
        {
            var json = JsonSerializer.Serialize(value, type, Wire.Json);
            JsonSerializer.Deserialize(json, type, Wire.Json).ShouldBe(value);
            json.ShouldBe($"\"{Wire.NameOf(value)}\"");
            Wire.NameOf(value).ShouldMatch("^[a-z]+(-[a-z]+)*$");
            return json;
        }).ToList();
        names.Distinct().Count().ShouldBe(names.Count);
        names.ShouldNotBeEmpty();
        Should.Throw<JsonException>(() => JsonSerializer.Deserialize("0", type, Wire.Json), "a number is no name");
        Should.Throw<JsonException>(() => JsonSerializer.Deserialize("\"other\"", type, Wire.Json));
    }

    [Fact]
    public void A_name_is_found_as_it_is_written_and_no_other()
    {
        Wire.Find<PipelineState>("cancelled").ShouldBe(PipelineState.Cancelled);
        Wire.Find<PipelineState>("Cancelled").ShouldBeNull();
        Wire.Find<PipelineState>("4").ShouldBeNull();
        Wire.NamesOf<VersionKind>().ShouldBe(["upload", "quantized"]);
        Wire.NameOf(DayOfWeek.Friday).ShouldBe("friday");
        Wire.NameOf(UriKind.RelativeOrAbsolute).ShouldBe("relative-or-absolute");
    }

    [Fact]
    public void A_pipeline_comes_back_and_names_are_what_scripts_read()
    {
        var stages = new[] { new StageView(Stage.Sample, StageState.Done, 2, 2), new StageView(Stage.Distil, StageState.Running, 12, 60) };
        var pipeline = new PipelineView(
            Guid.Empty, "tiny", 1, new string('a', 64), null, PipelineState.Running, null, Stage.Distil, stages, 12, 60, 0.5, 12.5, null,
            DateTimeOffset.UnixEpoch, null, null, new VersionName("tiny", 2), new Dictionary<string, double> { ["bitsPerWeight"] = 3.25 });
        var json = JsonSerializer.SerializeToNode(pipeline, Wire.Json)!;
        json["state"]!.ToString().ShouldBe("running");
        json["stages"]![1]!.ToJsonString().ShouldBe("""{"name":"distil","state":"running","done":12,"total":60}""");
        json["recipeName"].ShouldBeNull();
        json.AsObject().ContainsKey("recipeName").ShouldBeTrue("what is not known is null, not left out");
        JsonNode.DeepEquals(JsonSerializer.SerializeToNode(json.Deserialize<PipelineView>(Wire.Json), Wire.Json), json).ShouldBeTrue();
    }

    [Fact]
    public void Members_without_a_default_must_be_there()
    {
        Should.Throw<JsonException>(() => JsonSerializer.Deserialize<ModelView>("{}", Wire.Json)).Message.ShouldContain("name");
        JsonSerializer.Deserialize<PipelineRequest>("{}", Wire.Json).ShouldBe(new PipelineRequest());
        JsonSerializer.Deserialize<VersionRequest>("""{"files":[]}""", Wire.Json)!.Quantize.ShouldBeTrue();
    }

    public static TheoryData<object?, string?> Values => new()
    {
        { true, "true" },
        { false, "false" },
        { new DateTimeOffset(2026, 2, 3, 4, 5, 6, 7, TimeSpan.FromHours(2)), "2026-02-03T02:05:06.0070000Z" },
        { new DateTime(2026, 2, 3, 4, 5, 6, DateTimeKind.Utc), "2026-02-03T04:05:06.0000000Z" },
        { new DateTime(2026, 2, 3, 4, 5, 6, DateTimeKind.Unspecified), "2026-02-03T04:05:06.0000000Z" },
        { new DateTime(2026, 2, 3, 4, 5, 6, DateTimeKind.Utc).ToLocalTime(), "2026-02-03T04:05:06.0000000Z" },
        { new DateOnly(2026, 2, 3), "2026-02-03" },
        { StageState.Waiting, "waiting" },
        { UriKind.RelativeOrAbsolute, "relative-or-absolute" },
        { 0.5, "0.5" },
        { -1234567L, "-1234567" },
        { Guid.Empty, "00000000-0000-0000-0000-000000000000" },
        { "as it is", "as it is" },
        { null, null },
    };

    [Theory]
    [MemberData(nameof(Values))]
    public void Values_in_addresses_do_not_depend_on_the_culture(object? value, string? expected)
    {
        var odd = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        (odd.NumberFormat.NumberDecimalSeparator, odd.NumberFormat.NegativeSign, odd.DateTimeFormat.TimeSeparator) = (",", "minus", ".");
        var before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = odd;
        try
        {
            new UrlValues().Format(value, typeof(object), typeof(object)).ShouldBe(expected);
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }
}

using System.Text.Json;
using Qbb.Checkpoints;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

public class GgufGoldenTests
{
    public static TheoryData<string> Names =>
        [.. Directory.GetFiles(Reference.Path("gguf"), "*.gguf").Select(file => Path.GetFileNameWithoutExtension(file)!).Order()];

    [Theory]
    [MemberData(nameof(Names))]
    public void Metadata_is_that_of_the_golden_file(string name)
    {
        using var file = Open(name);
        using var golden = Golden(name);
        file.Version.ShouldBe(golden.RootElement.GetProperty("version").GetUInt32());
        file.Alignment.ShouldBe(golden.RootElement.GetProperty("alignment").GetInt32());
        file.Metadata.Keys.ShouldBe(golden.RootElement.GetProperty("metadata_keys").EnumerateArray().Select(key => key.GetString()!));
        foreach (var property in golden.RootElement.GetProperty("metadata").EnumerateObject())
            CheckValue(property, file.Metadata[property.Name], file.MetadataTypes[property.Name]);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Tensors_are_those_of_the_golden_file(string name)
    {
        using var file = Open(name);
        using var golden = Golden(name);
        var tensors = golden.RootElement.GetProperty("tensors");
        file.Entries.Count.ShouldBe(tensors.GetArrayLength());
        foreach (var (entry, expected) in file.Entries.Zip(tensors.EnumerateArray()))
        {
            entry.Name.ShouldBe(expected.GetProperty("name").GetString());
            entry.Type.ShouldBe(expected.GetProperty("type").GetString());
            entry.Shape.ShouldBe(expected.GetProperty("shape").EnumerateArray().Select(size => size.GetInt64()));
            entry.Bytes.ShouldBe(expected.GetProperty("bytes").GetInt64());
            file.OffsetInData(entry.Name).ShouldBe(expected.GetProperty("offset").GetInt64());
            CheckNumbers(file.ReadAll(entry.Name), expected);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Any_range_equals_the_same_range_of_the_whole(string name)
    {
        const int seed = 20240;
        var random = new Random(seed);
        using var file = Open(name);
        using var tensors = GgufTensors.Create(GgufFile.Open(file.Path));
        foreach (var source in new ITensorSource[] { file, tensors })
        {
            foreach (var entry in source.Entries)
            {
                var whole = source.ReadAll(entry.Name);
                for (var i = 0; i < 8; i++)
                {
                    var first = random.Next(whole.Length + 1);
                    var part = new float[random.Next(Math.Min(whole.Length - first, 700) + 1)];
                    source.ReadFloat(entry.Name, first, part);
                    part.AsSpan().SequenceEqual(whole.AsSpan(first, part.Length))
                        .ShouldBeTrue($"seed {seed}: {entry.Name} from {first}, {part.Length} elements");
                }
            }
        }
    }

    private static GgufFile Open(string name) => GgufFile.Open(Reference.Path("gguf", name + ".gguf"));

    private static JsonDocument Golden(string name) => JsonDocument.Parse(File.ReadAllBytes(Reference.Path("gguf", name + ".golden.json")));

    private static void CheckValue(JsonProperty expected, object actual, string type)
    {
        var expectedType = expected.Value.GetProperty("type").GetString()!;
        if (expectedType != "ARRAY")
        {
            type.ShouldBe(expectedType, expected.Name);
            CheckScalar(expected.Value.GetProperty("value"), actual, expected.Name);
            return;
        }
        type.ShouldBe($"ARRAY {expected.Value.GetProperty("element").GetString()}", expected.Name);
        var values = ((Array)actual).Cast<object>().ToList();
        values.Count.ShouldBe(expected.Value.GetProperty("count").GetInt32());
        foreach (var (value, element) in values.Zip(expected.Value.GetProperty("first").EnumerateArray()))
            CheckScalar(element, value, expected.Name);
        foreach (var (value, element) in values.TakeLast(3).Zip(expected.Value.GetProperty("last").EnumerateArray()))
            CheckScalar(element, value, expected.Name);
    }

    private static void CheckScalar(JsonElement expected, object actual, string name)
    {
        switch (actual)
        {
            case string text:
                text.ShouldBe(expected.GetString(), name);
                break;
            case bool flag:
                flag.ShouldBe(expected.GetBoolean(), name);
                break;
            case float number:
                number.ShouldBe(expected.GetSingle(), name);
                break;
            default:
                Convert.ToDecimal(actual).ShouldBe(expected.GetDecimal(), name);
                break;
        }
    }

    private static void CheckNumbers(float[] actual, JsonElement expected)
    {
        var sum = expected.GetProperty("sum").GetDouble();
        var sumSquares = expected.GetProperty("sum_squares").GetDouble();
        // The order of the additions is numpy's, so only the last digits may differ.
        actual.Sum(value => (double)value).ShouldBe(sum, 1e-9 * Math.Sqrt(sumSquares * actual.Length));
        actual.Sum(value => (double)value * value).ShouldBe(sumSquares, 1e-12 * sumSquares);
        Floats(expected, "first").ShouldBe(actual.Take(8));
        Floats(expected, "last").ShouldBe(actual.TakeLast(8));
        Floats(expected, "values")
            .ShouldBe(expected.GetProperty("positions").EnumerateArray().Select(position => actual[position.GetInt32()]));
    }

    private static IEnumerable<float> Floats(JsonElement element, string name) =>
        element.GetProperty(name).EnumerateArray().Select(value => value.GetSingle());
}

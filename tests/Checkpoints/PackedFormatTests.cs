using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

/// <summary>Folders that GPTQ, AWQ, compressed-tensors and HQQ would have written, made here.</summary>
public sealed class PackedFormatTests : IDisposable
{
    private const string Module = "model.layers.0.mlp.up_proj";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string, int> Formats()
    {
        var data = new TheoryData<string, int>();
        foreach (var bits in GptqFormat.Widths)
        {
            foreach (var name in new[] { "gptq", "gptq-act-order", "gptq-v2", "compressed-tensors", "compressed-tensors-symmetric", "compressed-tensors-padded", "hqq", "hqq-columns" })
                data.Add(name, bits);
        }
        foreach (var bits in new[] { 1, 5, 6, 7 })
            data.Add("compressed-tensors", bits);
        data.Add("hqq", 1);
        data.Add("awq", 4);
        return data;
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void What_is_written_is_read(string name, int bits)
    {
        var (rows, columns, group, random) = (32, 96, 32, new Random(7));
        PackedFormat format = name switch
        {
            "gptq" => new GptqFormat(1, bits, group, false, false),
            "gptq-act-order" => new GptqFormat(1, bits, group, false, true),
            "gptq-v2" => new GptqFormat(2, bits, group, false, false),
            "awq" => new AwqFormat(group),
            "hqq" => HqqFormat.Of(bits, group),
            "hqq-columns" => HqqFormat.Of(bits, group) with { Axis = 0, Settings = new JsonObject { ["nbits"] = bits, ["group_size"] = group, ["axis"] = 0 } },
            _ => new CompressedTensorsFormat([new(bits, group, name.EndsWith("symmetric"))], name.EndsWith("padded") ? new Version(0, 14, 0) : new Version(0, 19, 0)),
        };
        var (most, axis) = ((1 << bits) - 1, name == "hqq-columns" ? 0 : 1);
        var places = rows * columns / group;
        var weight = new PackedWeight(bits, rows, columns, axis == 0 ? 1 : group, "F16")
        {
            Codes = [.. Enumerable.Range(0, rows * columns).Select(_ => (byte)random.Next(most + 1))],
            Scales = [.. Enumerable.Range(0, places).Select(_ => (float)(Half)(0.01 + random.NextDouble()))],
            Zeros = [.. Enumerable.Range(0, places).Select(_ => name.EndsWith("symmetric") ? 1 << (bits - 1) : name.StartsWith("hqq") ? (float)(Half)(random.NextDouble() * most) : random.Next(most + 1))],
            GroupOf = name.EndsWith("order") ? [.. Enumerable.Range(0, columns).Select(column => column * 5 % 3)] : null,
            ScaleRows = axis == 0 ? rows / group : rows,
            RoundsDifference = name.StartsWith("hqq"),
        };
        Write(format.ToJson(["lm_head"]), format.Write(Module, weight));
        using var source = ModelSource.Open(_folder.Path);
        source.Packed!.Description.ShouldContain($"{bits} bits, groups of 32");
        source.Tensors.Entries.Select(entry => (entry.Name, entry.Type)).ShouldBe([(Module + ".weight", format.Name)]);
        source.Tensors.Describe(Module + ".weight").Bytes.ShouldBe(source.StoredTensors.Entries.Sum(entry => entry.Bytes));
        var read = ((PackedTensors)source.Tensors).TryRead(Module + ".weight")!;
        read.Codes.ShouldBe(weight.Codes);
        read.Scales.ShouldBe(weight.Scales);
        read.Zeros.ShouldBe(weight.Zeros);
        (read.ScaleRows, read.GroupSize).ShouldBe((weight.ScaleRows, weight.GroupSize));
        var values = new float[rows * columns];
        source.Tensors.ReadFloat(Module + ".weight", 0, values);
        for (var k = 0; k < values.Length; k++)
        {
            var place = axis == 0 ? k % places : k / columns * (columns / group) + (weight.GroupOf?[k % columns] ?? k % columns / group);
            var difference = weight.Codes[k] - weight.Zeros[place];
            values[k].ShouldBe((float)(Half)((name.StartsWith("hqq") ? (float)(Half)difference : difference) * weight.Scales[place]));
        }
    }

    [Fact]
    public void The_layouts_are_those_of_the_libraries()
    {
        // Codes 0 … 7 down the inputs, or across the outputs; zero points 1 … 7 and 0 there: less 1 in version 1, the 0 borrowing.
        Write(Gptq("gptq", 4, 8), [Words(".qweight", [.. Enumerable.Repeat(0x76543210u, 8)], 1, 8), Words(".qzeros", [0xf6543210], 1, 1), Halves(".scales", 8, 1, 8), Words(".g_idx", new uint[8], 8)]);
        Read()[..8].ShouldBe([-1, 0, 1, 2, 3, 4, 5, 6]);
        Read()[^8..].ShouldBe([0, 1, 2, 3, 4, 5, 6, 7]);
        Write(Gptq("gptq", 4, 8), [Words(".qweight", new uint[8], 1, 8), Words(".qzeros", [0x7654320fu - 0x10], 1, 1), Halves(".scales", 8, 1, 8)]);
        // Stored 0x765431ff: with 0x11111111 added to the whole word the zero points are 0, 1, 3, 4, 5, 6, 7, 8; field by field the second would be 0.
        Read().Where((_, place) => place % 8 == 0).ShouldBe([0f, -1, -3, -4, -5, -6, -7, -8]);
        Write(Gptq("gptq_v2", 4, 8), [Words(".qweight", new uint[8], 1, 8), Words(".qzeros", [0x76543210], 1, 1), Halves(".scales", 8, 1, 8)]);
        Read().Where((_, place) => place % 8 == 0).ShouldBe([0, -1, -2, -3, -4, -5, -6, -7]);
        Write(Json("""{"quant_method":"awq","bits":4,"group_size":1,"version":"gemm","zero_point":true}"""),
            [Words(".qweight", [0x75316420], 1, 1), Words(".qzeros", [0], 1, 1), Halves(".scales", 8, 1, 8)]);
        Read().ShouldBe([0, 1, 2, 3, 4, 5, 6, 7]);
        Write(Compressed(4, true), [Words(".weight_packed", [0x76543210], 1, 1), Halves(".weight_scale", 1, 1, 1), Shape(".weight_shape", 1, 8)]);
        Read().ShouldBe([-8, -7, -6, -5, -4, -3, -2, -1]);
        Write(Compressed(4, false), [Words(".weight_packed", [0x0000000f, 0x0000000f], 2, 1), Words(".weight_zero_point", [0x21], 1, 1), Halves(".weight_scale", 2, 2, 1), Shape(".weight_shape", 2, 1)]);
        Read().ShouldBe([14, 13]);
        // 3 bits: the eleventh code begins the second word, or lies across its border.
        Write(Compressed(3, true, "0.17.0"), [Words(".weight_packed", [0, 5], 1, 2), Halves(".weight_scale", 1, 1, 1), Shape(".weight_shape", 1, 11)]);
        Read()[^1].ShouldBe(1);
        Write(Compressed(3, true), [Words(".weight_packed", [0x40000000, 1], 1, 2), Halves(".weight_scale", 1, 1, 1), Shape(".weight_shape", 1, 11)]);
        Read()[^1].ShouldBe(1);
        Write(HqqFormat.Of(4, 2).ToJson([]), [new(Module + ".W_q", "U8", [1, 2], new byte[] { 0x12, 0x34 }), Halves(".scale", 2, 2, 1), Halves(".zero", 2, 2, 1), Shape(".shape", 2, 2)]);
        Read().ShouldBe([0, 2, 1, 3]);
    }

    [Theory]
    [InlineData("""{"quant_method":"gptq","bits":5,"group_size":8}""", "quantization_config.bits is 5: known are 2, 3, 4, 8")]
    [InlineData("""{"quant_method":"gptq","group_size":8}""", "quantization_config.bits is missing")]
    [InlineData("""{"quant_method":"gptq","bits":4,"group_size":0}""", "group_size is 0: it must be a positive number, or -1 for the row")]
    [InlineData("""{"quant_method":"gptq","bits":4,"group_size":8,"checkpoint_format":"marlin"}""", "checkpoint_format is \"marlin\": known are gptq and gptq_v2, which tell how zero points are stored")]
    [InlineData("""{"quant_method":"gptq","bits":4,"group_size":8,"checkpoint_format":"gptq","format":"gptq_v2"}""", "checkpoint_format is gptq: set both")]
    [InlineData("""{"quant_method":"gptq","bits":4,"group_size":8,"sym":true,"checkpoint_format":"gptq"}""", "zero points of 9 by checkpoint_format gptq, where sym requires 8: if the file is of version 2, set checkpoint_format to gptq_v2")]
    [InlineData("""{"quant_method":"gptq","bits":8,"group_size":8}""", "qzeros is I32 [1, 1], where GPTQ v1, 8 bits, groups of 8 requires I32 [1, 2]")]
    [InlineData("""{"quant_method":"awq","bits":4,"group_size":8,"version":"gemv"}""", "version is \"gemv\": known is gemm")]
    [InlineData("""{"quant_method":"awq","bits":4,"group_size":8,"zero_point":false}""", "nothing tells which zero point is meant")]
    [InlineData("""{"quant_method":"compressed-tensors","format":"float-quantized"}""", "format is \"float-quantized\": known is pack-quantized")]
    [InlineData("""{"quant_method":"hqq","quant_config":{"scale_quant_params":{}}}""", "scale_quant_params is {}: scales and zero points that are quantized too")]
    public void What_is_not_read_is_told_by_name(string quantization, string expected)
    {
        Write(Json(quantization), [Words(".qweight", new uint[8], 1, 8), Words(".qzeros", [0x88888888], 1, 1), Halves(".scales", 8, 1, 8)]);
        Should.Throw<InvalidInputException>(() => Read()).Message.ShouldContain(expected);
    }

    [Fact]
    public void Groups_that_are_not_there_are_refused()
    {
        Write(Gptq("gptq_v2", 4, 8), [Words(".qweight", new uint[8], 1, 8), Words(".qzeros", [0], 1, 1), Halves(".scales", 8, 1, 8), Words(".g_idx", [0, 0, 0, 0, 0, 0, 0, 1], 8)]);
        Should.Throw<InvalidInputException>(() => Read()).Message.ShouldContain("names a group that is not there: groups are 0 to 0");
    }

    [Fact]
    public void Settings_in_a_file_of_their_own_are_read()
    {
        Write(null, [Words(".qweight", new uint[8], 1, 8), Words(".qzeros", [0], 1, 1), Halves(".scales", 8, 1, 8)]);
        Should.Throw<InvalidInputException>(() => Read()).Message.ShouldContain("nothing tells how: config.json has no quantization_config: add quantize_config.json");
        _folder.Write("quantize_config.json", """{"bits":4,"group_size":8,"desc_act":false,"sym":false}""");
        Read()[0].ShouldBe(-1);
        using var source = ModelSource.Open(_folder.Path);
        source.Files.Select(Path.GetFileName).ShouldBe(["config.json", "quantize_config.json", "model.safetensors"]);
        source.Packed!.Description.ShouldBe("GPTQ v1, 4 bits, groups of 8");
    }

    private static JsonObject Json(string text) => JsonNode.Parse(text)!.AsObject();

    private static JsonObject Gptq(string format, int bits, int group) => Json($$"""{"quant_method":"gptq","bits":{{bits}},"group_size":{{group}},"checkpoint_format":"{{format}}","sym":false}""");

    private static JsonObject Compressed(int bits, bool symmetric, string version = "0.19.0")
    {
        var json = new CompressedTensorsFormat([new(bits, null, symmetric)], null).ToJson([]);
        json["version"] = version;
        return json;
    }

    private static NamedTensor Words(string name, uint[] words, params long[] shape) => new(Module + name, "I32", shape, MemoryMarshal.AsBytes<uint>(words).ToArray());

    private static NamedTensor Shape(string name, long rows, long columns) => new(Module + name, "I64", [2], MemoryMarshal.AsBytes<long>([rows, columns]).ToArray());

    /// <summary>Ones.</summary>
    private static NamedTensor Halves(string name, int count, params long[] shape) => new(Module + name, "F16", shape, MemoryMarshal.AsBytes<Half>([.. Enumerable.Repeat((Half)1, count)]).ToArray());

    private void Write(JsonObject? quantization, IEnumerable<NamedTensor> tensors)
    {
        var config = new JsonObject { ["model_type"] = "llama" };
        if (quantization is not null)
            config["quantization_config"] = quantization;
        _folder.Write("config.json", config.ToJsonString());
        using var writer = SafetensorsWriter.Create(_folder.File("model.safetensors"), tensors.Select(tensor => new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape)));
        foreach (var tensor in tensors)
            writer.WriteBytes(tensor.Name, tensor.Bytes.Span);
        writer.Commit();
    }

    private float[] Read()
    {
        using var source = ModelSource.Open(_folder.Path);
        var values = new float[source.Tensors.Describe(Module + ".weight").Count];
        source.Tensors.ReadFloat(Module + ".weight", 0, values);
        return values;
    }
}

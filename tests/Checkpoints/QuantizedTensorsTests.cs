using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

/// <summary>Embedding and head as integers: packing, reading and the version of the format.</summary>
public sealed class QuantizedTensorsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(4), InlineData(6), InlineData(8)]
    public void Every_value_comes_back_from_every_place_of_a_row(int bits)
    {
        var (low, count) = (-(1 << (bits - 1)), 1 << bits);
        for (var length = 1; length <= 40; length++)
        {
            var values = Enumerable.Range(0, length).Select(k => (sbyte)(low + (k * 7 + length) % count)).ToArray();
            var packed = new byte[IntegerPacking.RowBytes(length, bits)];
            IntegerPacking.Pack(values, bits, packed);
            packed.Length.ShouldBe((length * bits + 7) / 8);
            for (var first = 0; first < length; first++)
            {
                var read = new sbyte[length - first];
                IntegerPacking.Unpack(packed, bits, first, read);
                read.ShouldBe(values[first..]);
            }
        }
    }

    [Fact]
    public void The_layout_is_as_the_documentation_has_it()
    {
        var packed = new byte[3];
        // −8, 7, 0 as 0, 15, 8 from the lowest bits on; −32, 31, 0, −1 as 0, 63, 32, 31.
        IntegerPacking.Pack([-8, 7, 0], 4, packed.AsSpan(0, 2));
        packed[..2].ShouldBe([0xf0, 0x08]);
        IntegerPacking.Pack([-32, 31, 0, -1], 6, packed);
        packed.ShouldBe([0b1100_0000, 0b0000_1111, 0b0111_1110]);
        IntegerPacking.Pack([-1, 127, -128], 8, packed);
        packed.ShouldBe([0xff, 0x7f, 0x80]);
    }

    [Theory]
    [InlineData(8, 7, 3, 0), InlineData(6, 7, 3, 5), InlineData(4, 33, 32, -30), InlineData(8, 64, 32, 20), InlineData(4, 5, 5, 0)]
    public void A_matrix_reads_as_integers_times_scales(int bits, int columns, int group, int exponent)
    {
        const int rows = 5, seed = 11;
        var random = new Random(seed);
        var form = new IntegerForm(bits, group, columns);
        var integers = Enumerable.Range(0, rows * columns).Select(_ => (sbyte)random.Next(-(1 << (bits - 1)), 1 << (bits - 1))).ToArray();
        var scales = Enumerable.Range(0, rows * form.Groups).Select(_ => (Half)random.NextDouble()).ToArray();
        var path = Write(form, rows, integers, scales, exponent);
        using var tensors = new QuantizedTensors(SafetensorsFile.Open(path), form);

        tensors.Entries.Select(entry => entry.Name).ShouldBe(["m.weight", "other"]);
        var entry = tensors.Describe("m.weight");
        entry.Shape.ShouldBe([rows, columns]);
        entry.Type.ShouldBe($"Q{bits}");
        entry.Bytes.ShouldBe(rows * (form.RowBytes + 2 * form.Groups) + (exponent == 0 ? 0 : 4));
        unsafe
        {
            tensors.TryGetPointer("m.weight", out _).ShouldBeFalse();
        }
        var expected = new float[rows * columns];
        for (var k = 0; k < expected.Length; k++)
            expected[k] = (float)(integers[k] * (double)scales[k / columns * form.Groups + k % columns / group] * Math.Pow(2, exponent));
        for (var first = 0; first < expected.Length; first++)
        {
            var read = new float[random.Next(expected.Length - first + 1)];
            tensors.ReadFloat("m.weight", first, read);
            read.ShouldBe(expected[first..(first + read.Length)]);
        }
        Should.Throw<ArgumentOutOfRangeException>(() => tensors.ReadFloat("m.weight", 1, new float[expected.Length]));
    }

    [Fact]
    public void Tensors_that_do_not_fit_the_configuration_are_named()
    {
        var path = Write(new(8, 4, 8), 2, new sbyte[16], new Half[4], 0);
        Should.Throw<InvalidInputException>(() => new QuantizedTensors(SafetensorsFile.Open(path), new IntegerForm(8, 4, 9))).Message.ShouldContain("m.q8 is I8 [2, 8]");
        Should.Throw<InvalidInputException>(() => new QuantizedTensors(SafetensorsFile.Open(path), new IntegerForm(8, 8, 8))).Message.ShouldContain("m.q8_scale is F16 [2, 2]");
        path = Write(new(8, 4, 8), 2, new sbyte[16], new Half[4], 1000);
        Should.Throw<InvalidInputException>(() => new QuantizedTensors(SafetensorsFile.Open(path), new IntegerForm(8, 4, 8))).Message.ShouldContain("m.scale_exponent is 1000");
    }

    [Theory]
    [InlineData("{}", "version 1 of the format")]
    [InlineData("""{"version":1}""", "version 1 of the format")]
    [InlineData("""{"version":3}""", "version 3 of the format")]
    [InlineData("""{"version":2,"embedding":{"bits":5,"group_size":32,"columns":8}}""", "quantization_config.embedding is")]
    [InlineData("""{"version":2,"embedding":{"bits":8,"group_size":0,"columns":8}}""", "quantization_config.embedding is")]
    [InlineData("""{"version":2,"embedding":8}""", "quantization_config.embedding is")]
    [InlineData("""{"version":2,"embedding":{"bases":3,"group_size":32,"columns":8,"modules":[1]}}""", "quantization_config.embedding is")]
    public void Another_version_is_refused_with_the_command_that_helps(string quantization, string message)
    {
        var part = JsonNode.Parse(quantization)!.AsObject();
        part["quant_method"] = "qbb";
        _folder.Write("config.json", new JsonObject { ["model_type"] = "llama", ["quantization_config"] = part }.ToJsonString());
        File.Move(Write(new(8, 4, 8), 2, new sbyte[16], new Half[4], 0), _folder.File("model.safetensors"));
        var error = Should.Throw<InvalidInputException>(() => ModelSource.Open(_folder.Path));
        error.Message.ShouldContain(message);
        if (message.StartsWith("version", StringComparison.Ordinal))
            error.Message.ShouldEndWith("quantize again with  qbb quantize MODEL -o OUTPUT");
    }

    private string Write(IntegerForm form, int rows, sbyte[] integers, Half[] scales, int exponent)
    {
        var path = _folder.File("m.safetensors");
        using var writer = SafetensorsWriter.Create(path, [.. form.Declare("m", rows, exponent != 0), new TensorDeclaration("other", "F32", [1])]);
        for (var row = 0; row < rows; row++)
        {
            var packed = new byte[form.RowBytes];
            IntegerPacking.Pack(integers.AsSpan(row * form.Columns, form.Columns), form.Bits, packed);
            writer.WriteBytes(form.Values("m"), packed);
        }
        writer.WriteBytes(form.Scales("m"), MemoryMarshal.AsBytes(scales.AsSpan()));
        if (exponent != 0)
            writer.WriteBytes(ScaleExponent.NameOf("m"), ScaleExponent.Bytes(exponent));
        writer.Write("other", [1]);
        writer.Commit();
        return path;
    }
}

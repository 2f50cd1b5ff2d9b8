using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

/// <summary>Checkpoints that the libraries themselves wrote, against their own dequantised matrices and files.</summary>
public sealed class PackedReferenceTests
{
    public static TheoryData<string> Folders => new(
        "awq-gemm-4bit-g128", "compressed-tensors-w3a16-sym-g128", "compressed-tensors-w3a16-sym-g128-padded", "compressed-tensors-w4a16-asym-g128",
        "compressed-tensors-w4a16-asym-g128-gidx", "compressed-tensors-w4a16-sym-g128", "compressed-tensors-w8a16-channel", "gptq-2bit-g64-asym", "gptq-3bit-g128-sym",
        "gptq-4bit-g128-asym-desc-act", "gptq-4bit-g128-sym", "gptq-8bit-channel-sym", "gptq-v2-4bit-g128-asym", "hqq-2bit-g16", "hqq-3bit-g64", "hqq-4bit-g64",
        "hqq-4bit-g64-axis0-float32");

    [Theory]
    [MemberData(nameof(Folders))]
    public void Every_matrix_is_the_librarys(string folder)
    {
        var path = Reference.Shared("reference", "quantized", folder);
        var golden = JsonNode.Parse(File.ReadAllText(Path.Combine(path, "golden.json")))!["layers"]!.AsObject();
        golden.Count.ShouldBe(14);
        using var source = ModelSource.Open(path);
        foreach (var (module, expected) in golden)
        {
            var entry = source.Tensors.Describe(module + ".weight");
            entry.Shape.ShouldBe(expected!["shape"]!.AsArray().Select(size => size!.GetValue<long>()));
            var values = new float[entry.Count];
            source.Tensors.ReadFloat(entry.Name, 0, values);
            var bytes = expected["dtype"]!.ToString() == "float32" ? MemoryMarshal.AsBytes(values.AsSpan()).ToArray()
                : MemoryMarshal.AsBytes(Array.ConvertAll(values, value => (Half)value).AsSpan()).ToArray();
            Convert.ToHexStringLower(SHA256.HashData(bytes)).ShouldBe(expected["sha256"]!.ToString(), module);
            // From any place on alike.
            var part = new float[700];
            source.Tensors.ReadFloat(entry.Name, 333, part);
            part.AsSpan().SequenceEqual(values.AsSpan(333, 700)).ShouldBeTrue(module);
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Every_tensor_is_written_again_as_it_was(string folder)
    {
        using var source = ModelSource.Open(Reference.Shared("reference", "quantized", folder));
        var (packed, stored) = ((PackedTensors)source.Tensors, source.StoredTensors);
        var names = stored.Entries.Select(entry => entry.Name).ToHashSet();
        foreach (var matrix in packed.Matrices)
        {
            var written = source.Packed!.Write(matrix[..^".weight".Length], packed.TryRead(matrix)!);
            foreach (var tensor in written)
            {
                var (entry, bytes) = (stored.Describe(tensor.Name), new byte[stored.Describe(tensor.Name).Bytes]);
                (tensor.Type, string.Join(',', tensor.Shape)).ShouldBe((entry.Type, string.Join(',', entry.Shape)), tensor.Name);
                stored.ReadBytes(tensor.Name, 0, bytes);
                tensor.Bytes.Span.SequenceEqual(bytes).ShouldBeTrue(tensor.Name);
                names.Remove(tensor.Name).ShouldBeTrue();
            }
        }
        names.ShouldAllBe(name => name.EndsWith("norm.weight") || name == "model.embed_tokens.weight" || name == "lm_head.weight");
    }
}

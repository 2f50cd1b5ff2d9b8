using System.Buffers.Binary;
using System.Text;
using Qbb.Checkpoints;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

/// <summary>10,000 damaged files in all: each is refused by our own exception or read to its end, in bounded memory.</summary>
public sealed class FuzzTests : IDisposable
{
    private const long MemoryLimit = 256L << 20;
    private static readonly TimeSpan TimeLimit = TimeSpan.FromMinutes(5);

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public Task Damaged_safetensors_files_are_refused_or_read()
    {
        using (var writer = SafetensorsWriter.Create(
            folder.File("whole"),
            [new("a.weight", "F32", [3, 5]), new("b.weight", "F16", [40]), new("c", "BF16", [2, 2, 2]), new("d", "I64", []),
                new("e", "U8", [7]), new("f", "F8_E4M3", [2]), new("g", "F32", [0])],
            new Dictionary<string, string> { ["made"] = "by hand" }))
        {
            writer.Write("a.weight", new float[15]);
            writer.Write("b.weight", new float[40]);
            writer.Write("c", new float[8]);
            writer.WriteBytes("d", new byte[8]);
            writer.WriteBytes("e", new byte[7]);
            writer.WriteBytes("f", new byte[2]);
            writer.Commit();
        }
        var whole = File.ReadAllBytes(folder.File("whole"));
        var data = whole.Length - 8 - BinaryPrimitives.ReadInt32LittleEndian(whole);
        var repair = false;
        return Run(101, 4000, whole, bytes =>
        {
            // Every other file gets a header length that is right again, so that what follows it is read too.
            repair = !repair;
            if (repair && bytes.Length >= 8)
                BinaryPrimitives.WriteInt64LittleEndian(bytes, Math.Max(0, bytes.Length - 8 - data));
            using var file = SafetensorsFile.Open(folder.Write("x.safetensors", bytes));
            ReadEverything(file);
        });
    }

    [Fact]
    public Task Damaged_shard_indexes_are_refused_or_read()
    {
        foreach (var name in new[] { "a", "b" })
        {
            using var writer = SafetensorsWriter.Create(folder.File($"model-{name}.safetensors"),
                [new(name, "F32", [2]), new(name + "2", "F16", [2])]);
            writer.Write(name, new float[2]);
            writer.Write(name + "2", new float[2]);
            writer.Commit();
        }
        folder.Write("config.json", "{}");
        var index = """{"metadata": {"total_size": 24}, "weight_map": {"a": "model-a.safetensors", "a2": "model-a.safetensors", "b": "model-b.safetensors", "b2": "model-b.safetensors"}}""";
        return Run(102, 2000, Encoding.UTF8.GetBytes(index), bytes =>
        {
            folder.Write(SafetensorsFolder.IndexName, bytes);
            using var model = ModelSource.Open(folder.Path);
            ReadEverything(model.Tensors);
        });
    }

    [Fact]
    public Task Damaged_GGUF_files_are_refused_or_read()
    {
        var builder = GgufLlama.Model(biases: true)
            .Add("llama.rope.scaling.type", "none")
            .Add("general.alignment", 32u)
            .Add("tokenizer.ggml.tokens", new[] { "a", "bc", "<s>", "" })
            .Add("tokenizer.ggml.scores", new[] { 0f, -1f })
            .Add("tokenizer.ggml.bos_token_id", 1u)
            .Add("nested", new object[] { new[] { 1, 2 }, new[] { 3 } })
            .Add("wide", 1e300)
            .Tensor("rope_freqs.weight", [2], [1, 2]);
        foreach (var (type, bytes) in new (uint, int)[] { (2, 18), (3, 20), (6, 22), (8, 34) })
            builder.Tensor($"blk.{type}.attn_output.weight", [2, 32], type, new byte[2 * bytes]);
        foreach (var (type, bytes) in new (uint, int)[] { (12, 144), (13, 176), (14, 210), (19, 50) })
            builder.Tensor($"blk.{type}.attn_output.weight", [1, 256], type, new byte[bytes]);
        return Run(103, 4000, builder.Build(), bytes =>
        {
            var path = folder.Write("x.gguf", bytes);
            CheckpointInspector.Inspect(path).ToJson().ToJsonString().ShouldNotBeEmpty();
            using (var file = GgufFile.Open(path))
                ReadEverything(file);
            using var model = ModelSource.Open(path);
            ReadEverything(model.Tensors);
        });
    }

    [Theory]
    [InlineData("gemma3", 104)]
    [InlineData("phi3", 105)]
    [InlineData("smollm3", 106)]
    [InlineData("granite", 107)]
    public Task Damaged_files_of_other_architectures_are_refused_or_read(string architecture, int seed)
    {
        var builder = GgufLlama.Model(architecture)
            .Add($"{architecture}.attention.sliding_window", 8u)
            .Add($"{architecture}.attention.sliding_window_pattern", 3u)
            .Add($"{architecture}.rope.scaling.factor", 4f)
            .Add($"{architecture}.rope.dimension_count", 4u)
            .Add($"{architecture}.embedding_scale", 1f)
            .Tensor("rope_factors_long.weight", [2], [1, 2])
            .Tensor("rope_factors_short.weight", [2], [1, 2]);
        return Run(seed, 500, builder.Build(), bytes =>
        {
            using var model = ModelSource.Open(folder.Write("x.gguf", bytes));
            model.ConfigJson.ToJsonString().ShouldNotBeEmpty();
            ReadEverything(model.Tensors);
        });
    }

    private static Task Run(int seed, int cases, byte[] original, Action<byte[]> read) => Task.Run(() =>
    {
        var random = new Random(seed);
        read(original);
        var successes = 0;
        for (var i = 0; i < cases; i++)
        {
            var bytes = Mutation.Of(original, random);
            var before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                read(bytes);
                successes++;
            }
            catch (InvalidInputException)
            {
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}, case {i}: {e}");
            }
            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            if (allocated > MemoryLimit)
                Assert.Fail($"seed {seed}, case {i}: {allocated} bytes were allocated");
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}: {successes} of {cases} were read, the others refused");
    }).WaitAsync(TimeLimit);

    /// <summary>Reads every tensor; one of a type that cannot be read may be refused, and the others are still read.</summary>
    private static void ReadEverything(ITensorSource source)
    {
        var buffer = new float[100];
        foreach (var entry in source.Entries)
        {
            try
            {
                for (long first = 0; first < entry.Count; first += buffer.Length)
                    source.ReadFloat(entry.Name, first, buffer.AsSpan(0, (int)Math.Min(buffer.Length, entry.Count - first)));
            }
            catch (InvalidInputException e)
            {
                e.Message.ShouldContain("cannot be read");
            }
        }
    }
}

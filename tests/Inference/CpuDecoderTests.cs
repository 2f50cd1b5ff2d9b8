using System.Runtime.InteropServices;
using Qbb.Bases;
using Qbb.Bases.Cpu;
using Qbb.Checkpoints;
using Qbb.Inference.Decoding;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Models.Tests.Decoder;
using Qbb.Tests;
using TorchSharp;

namespace Qbb.Inference.Tests;

/// <summary>The decoder without libtorch against the one with it.</summary>
public class CpuDecoderTests
{
    private const double Tolerance = 1e-4;

    /// <summary>Of kernels whose tables are rounded to 16 bits.</summary>
    private const double ByteTolerance = 1e-3;

    private static readonly string s_teacher = Path.Combine(Reference.Root, "samples", "teacher");

    public static IEnumerable<TheoryDataRow<string>> Families => Variants.Rows;

    public static TheoryData<CpuInstructions> Instructions => new(Enum.GetValues<CpuInstructions>());

    [Theory]
    [MemberData(nameof(Families))]
    public void Every_family_has_the_logits_of_the_decoder_with_libtorch(string family)
    {
        var config = Variants.Config(family);
        using var checkpoint = TestCheckpoint.Random(config, seed: 3);
        using var model = Transformer.Load(config, checkpoint, torch.CPU, torch.ScalarType.Float32);
        foreach (var threads in new[] { 1, 3 })
        {
            using var decoder = new CpuDecoder(config, checkpoint, options: new() { Threads = threads, Cache = KvPrecision.Single });
            Compare(decoder, model);
        }
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void Every_family_has_them_with_binary_bases(string family)
    {
        const int group = 16;
        var config = Variants.Config(family);
        using var plain = TestCheckpoint.Random(config, seed: 4);
        using var checkpoint = new BasesCheckpoint(config, plain, count: 3, group);
        using var model = Transformer.Load(config, checkpoint, torch.CPU, torch.ScalarType.Float32, new BasesLinearLoader(group));
        foreach (var instructions in Enum.GetValues<CpuInstructions>().Where(CpuKernels.IsSupported))
        {
            using var decoder = new CpuDecoder(config, checkpoint, group, new() { Threads = 2, Cache = KvPrecision.Single, Instructions = instructions });
            Compare(decoder, model, instructions == CpuInstructions.Avx2 ? ByteTolerance : Tolerance);
        }
    }

    [Theory]
    [MemberData(nameof(Instructions))]
    public void Greedy_text_is_the_same_for_200_tokens(CpuInstructions instructions)
    {
        Assert.SkipUnless(CpuKernels.IsSupported(instructions), $"this processor has no {instructions}");
        using var source = ModelSource.Open(s_teacher);
        var config = DecoderConfig.FromJson(source.ConfigJson);
        using var checkpoint = new BasesCheckpoint(config, source.Tensors, count: 4, group: 64);
        using var model = Transformer.Load(config, checkpoint, torch.CPU, torch.ScalarType.Float32, new BasesLinearLoader(64));
        int[] prompt = [2, 30, 400];
        var expected = new TokenGenerator(model).Generate([prompt], [0], new GenerationOptions { MaxTokens = 200, Temperature = 0 })[0].Tokens;
        using var decoder = new CpuDecoder(config, checkpoint, 64, new() { Threads = 2, Instructions = instructions });
        Greedy(decoder, prompt, 200).ShouldBe(expected);
    }

    [Theory]
    [InlineData(KvPrecision.Int16, 2e-4)]
    [InlineData(KvPrecision.Int8, 0.03)]
    public void A_cache_of_integers_costs_little(KvPrecision cache, double tolerance)
    {
        var config = Variants.Config("gemma3");
        using var checkpoint = TestCheckpoint.Random(config, seed: 9);
        using var exact = new CpuDecoder(config, checkpoint, options: new() { Threads = 2, Cache = KvPrecision.Single });
        using var rounded = new CpuDecoder(config, checkpoint, options: new() { Threads = 2, Cache = cache });
        int[] tokens = [.. Enumerable.Range(0, 90).Select(k => k * 7 % config.VocabularySize)];
        var (expected, actual) = (Logits(exact, tokens), Logits(rounded, tokens));
        actual.ShouldNotBe(expected);
        var worst = expected.Zip(actual, (a, b) => Math.Abs(a - b)).Max() / expected.Max(Math.Abs);
        TestContext.Current.TestOutputHelper!.WriteLine($"largest difference {worst:e2} of the largest logit, tolerance {tolerance:e2}");
        ((double)worst).ShouldBeLessThan(tolerance);
    }

    [Fact]
    public void Sequences_in_one_pass_have_the_logits_that_each_has_alone()
    {
        var config = Variants.Config("mistral, window");
        using var checkpoint = TestCheckpoint.Random(config, seed: 5);
        using var decoder = new CpuDecoder(config, checkpoint, options: new() { Threads = 2 });
        int[][] prompts = [[1, 2, 3], [.. Enumerable.Range(0, 37)], [4], [5, 6], [7, 8, 9, 10, 11, 12]];
        var alone = prompts.Select(prompt => Logits(decoder, prompt)).ToArray();
        var sequences = prompts.Select(_ => decoder.Begin()).ToArray();
        var together = new float[prompts.Length * config.VocabularySize];
        decoder.Step([.. prompts.Select((prompt, k) => new DecoderInput(sequences[k], prompt))], together);
        for (var k = 0; k < prompts.Length; k++)
            ShouldBeNear(together.AsSpan(k * config.VocabularySize, config.VocabularySize), alone[k]);
        sequences.Select(sequence => sequence.Length).ShouldBe(prompts.Select(prompt => prompt.Length));
    }

    [Theory]
    [InlineData("llama, linear")]
    [InlineData("gemma3")]
    public void A_prompt_of_several_passes_is_the_same_as_token_by_token(string family)
    {
        var config = Variants.Config(family);
        using var checkpoint = TestCheckpoint.Random(config, seed: 6);
        using var decoder = new CpuDecoder(config, checkpoint, options: new() { Threads = 2, Cache = KvPrecision.Single });
        var prompt = Enumerable.Range(0, 300).Select(k => k * 7 % config.VocabularySize).ToArray();
        var logits = new float[config.VocabularySize];
        using var sequence = decoder.Begin();
        foreach (var token in prompt)
            decoder.Step([new(sequence, new[] { token })], logits);
        ShouldBeNear(Logits(decoder, prompt), logits);
    }

    [Fact]
    public void A_fork_goes_its_own_way_and_truncating_forgets()
    {
        var config = Variants.Config("llama, linear");
        using var checkpoint = TestCheckpoint.Random(config, seed: 7);
        using var decoder = new CpuDecoder(config, checkpoint, options: new() { Threads = 2 });
        int[] start = [.. Enumerable.Range(0, 40).Select(k => k * 3 % config.VocabularySize)];
        var (a, b) = (new float[config.VocabularySize], new float[config.VocabularySize]);
        using var first = decoder.Begin();
        decoder.Step([new(first, start)], a);
        using var second = first.Fork();
        decoder.Step([new(first, new[] { 1, 2 })], a);
        decoder.Step([new(second, new[] { 3, 4 })], b);
        ShouldBeNear(a, Logits(decoder, [.. start, 1, 2]));
        ShouldBeNear(b, Logits(decoder, [.. start, 3, 4]));
        first.Truncate(33);
        decoder.Step([new(first, new[] { 5 })], a);
        ShouldBeNear(a, Logits(decoder, [.. start[..33], 5]));
        second.Length.ShouldBe(42);
    }

    [Fact]
    public void The_kernel_cache_of_a_folder_is_made_once_and_again_when_it_does_not_fit()
    {
        using var temporary = new TemporaryFolder();
        var folder = Directory.CreateDirectory(temporary.File("model")).FullName;
        Quantize(folder);
        var first = Logits(folder);
        var packed = Directory.EnumerateFiles(folder, WrittenFiles.KernelCachePrefix + "*").ShouldHaveSingleItem();
        var made = File.GetLastWriteTimeUtc(packed);
        Logits(folder).ShouldBe(first);
        File.GetLastWriteTimeUtc(packed).ShouldBe(made);
        // What another process cut short, and another model of the same size.
        File.WriteAllBytes(packed, [1, 2, 3]);
        Logits(folder).ShouldBe(first);
        new FileInfo(packed).Length.ShouldBeGreaterThan(3);
        File.SetLastWriteTimeUtc(Path.Combine(folder, "model.safetensors"), DateTime.UtcNow.AddMinutes(-5));
        Logits(folder).ShouldBe(first);
        Directory.EnumerateFiles(folder, WrittenFiles.KernelCachePrefix + "*").Count().ShouldBe(2);
        // --force replaces the folder all the same.
        WrittenFiles.Record(folder, ["config.json", "model.safetensors"]);
        WrittenFiles.CheckTarget(folder, force: true);
        WrittenFiles.Remove(folder);
        Directory.Exists(folder).ShouldBeFalse();

        static float[] Logits(string path)
        {
            using var source = ModelSource.Open(path);
            using var decoder = CpuDecoder.Load(source, new() { Threads = 2 });
            return CpuDecoderTests.Logits(decoder, [1, 2, 3, 4]);
        }

        static void Quantize(string path)
        {
            using var source = ModelSource.Open(s_teacher);
            var config = DecoderConfig.FromJson(source.ConfigJson);
            using var checkpoint = new BasesCheckpoint(config, source.Tensors, count: 2, group: 64);
            var json = source.ConfigJson.DeepClone().AsObject();
            json["quantization_config"] = new System.Text.Json.Nodes.JsonObject { ["quant_method"] = "qbb", ["version"] = QbbFormat.Version, ["bases"] = 2, ["group_size"] = 64 };
            File.WriteAllText(Path.Combine(path, "config.json"), json.ToJsonString());
            var layers = DecoderLayout.Resolve(config, source.Tensors).Linears.Select(spec => spec.Weight).ToHashSet();
            var entries = checkpoint.Entries.Where(entry => !layers.Contains(entry.Name)).OrderByDescending(entry => entry.Bytes / entry.Count).ToList();
            using var writer = SafetensorsWriter.Create(Path.Combine(path, "model.safetensors"), entries.Select(entry => new TensorDeclaration(entry.Name, entry.Type, entry.Shape)));
            foreach (var entry in entries)
            {
                var bytes = new byte[entry.Bytes];
                checkpoint.ReadBytes(entry.Name, 0, bytes);
                writer.WriteBytes(entry.Name, bytes);
            }
            writer.Commit();
        }
    }

    [Fact]
    public void Wrong_input_is_refused_and_changes_nothing()
    {
        var config = Variants.Config("gpt2, unscaled");
        using var checkpoint = TestCheckpoint.Random(config, seed: 8);
        using var decoder = new CpuDecoder(config, checkpoint);
        using var sequence = decoder.Begin();
        var logits = new float[config.VocabularySize];
        Should.Throw<InvalidInputException>(() => decoder.Step([new(sequence, new[] { 1, 40 })], logits)).Message.ShouldContain("token id 40");
        Should.Throw<InvalidInputException>(() => decoder.Step([new(sequence, new int[41])], logits)).Message.ShouldContain("40 positions");
        sequence.Length.ShouldBe(0);
    }

    [Fact]
    public void A_thread_that_fails_ends_the_work_of_all()
    {
        using var team = new ThreadTeam(3);
        for (var round = 0; round < 20; round++)
        {
            Should.Throw<InvalidInputException>(() => team.Run(thread =>
            {
                team.Meet();
                if (thread == 1)
                    throw new InvalidInputException("broken");
                team.Meet();
                team.Meet();
            })).Message.ShouldBe("broken");
            var met = 0;
            team.Run(_ =>
            {
                for (var k = 0; k < 100; k++)
                {
                    Interlocked.Increment(ref met);
                    team.Meet();
                    (met % 3).ShouldBe(0);
                    team.Meet();
                }
            });
            met.ShouldBe(300);
        }
    }

    /// <summary>A prompt, then token by token past every change of the rotary angles.</summary>
    private static void Compare(CpuDecoder decoder, Transformer model, double tolerance = Tolerance)
    {
        using var off = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var config = model.Config;
        var tokens = Enumerable.Range(0, 24).Select(k => (k * 11 + 5) % config.VocabularySize).ToArray();
        var logits = new float[config.VocabularySize];
        using var sequence = decoder.Begin();
        for (var length = 7; length <= tokens.Length; length = length < 9 ? length + 1 : length + 5)
        {
            decoder.Step([new(sequence, tokens.AsMemory(sequence.Length, length - sequence.Length))], logits);
            var ids = torch.tensor(tokens[..length].Select(id => (long)id).ToArray(), 1, length);
            var expected = model.forward(ids).select(1, length - 1).flatten().data<float>().ToArray();
            ShouldBeNear(logits, expected, tolerance);
        }
    }

    private static float[] Logits(CpuDecoder decoder, int[] tokens)
    {
        var logits = new float[decoder.Config.VocabularySize];
        using var sequence = decoder.Begin();
        decoder.Step([new(sequence, tokens)], logits);
        return logits;
    }

    private static List<int> Greedy(CpuDecoder decoder, int[] prompt, int count)
    {
        var logits = new float[decoder.Config.VocabularySize];
        using var sequence = decoder.Begin();
        decoder.Step([new(sequence, prompt)], logits);
        var tokens = new List<int>();
        while (true)
        {
            tokens.Add(Array.IndexOf(logits, logits.Max()));
            if (tokens.Count == count)
                return tokens;
            decoder.Step([new(sequence, new[] { tokens[^1] })], logits);
        }
    }

    private static void ShouldBeNear(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected, double tolerance = Tolerance)
    {
        var scale = 1.0;
        foreach (var value in expected)
            scale = Math.Max(scale, Math.Abs(value));
        for (var k = 0; k < expected.Length; k++)
            ((double)actual[k]).ShouldBe(expected[k], tolerance * scale, $"logit {k}");
    }

    /// <summary>A checkpoint whose linear layers are sums of binary matrices: the signs of what is left, and its mean magnitude in every group.</summary>
    private sealed class BasesCheckpoint : ITensorSource
    {
        private readonly ITensorSource _plain;
        private readonly Dictionary<string, (TensorEntry Entry, byte[] Bytes)> _tensors = [];

        public BasesCheckpoint(DecoderConfig config, ITensorSource plain, int count, int group)
        {
            _plain = plain;
            foreach (var spec in DecoderLayout.Resolve(config, plain).Linears)
            {
                var weight = new float[spec.WeightCount];
                WeightLoader.ReadWeight(plain, spec, weight);
                foreach (var tensor in BasesTensors.Write(spec.Module, Decompose(weight, spec.OutFeatures, spec.InFeatures, count, group)))
                    _tensors[tensor.Name] = (new(tensor.Name, tensor.Type, tensor.Shape, tensor.Bytes.Length), tensor.Bytes.ToArray());
            }
        }

        public IReadOnlyList<TensorEntry> Entries => [.. _plain.Entries, .. _tensors.Values.Select(tensor => tensor.Entry)];

        public bool Contains(string name) => _tensors.ContainsKey(name) || _plain.Contains(name);

        public TensorEntry Describe(string name) => _tensors.TryGetValue(name, out var tensor) ? tensor.Entry : _plain.Describe(name);

        public void ReadFloat(string name, long first, Span<float> destination) => _plain.ReadFloat(name, first, destination);

        public unsafe bool TryGetPointer(string name, out byte* pointer)
        {
            pointer = null;
            return false;
        }

        public void ReadBytes(string name, long first, Span<byte> destination)
        {
            if (_tensors.TryGetValue(name, out var tensor))
                tensor.Bytes.AsSpan((int)first, destination.Length).CopyTo(destination);
            else
                _plain.ReadBytes(name, first, destination);
        }

        public void Dispose()
        {
        }

        private static BinaryBases Decompose(float[] weight, int rows, int columns, int count, int group)
        {
            group = Math.Min(group, columns);
            var (groups, words) = ((columns - 1) / group + 1, SignPacking.WordsPerRow(columns));
            var (planes, alpha, beta) = (new uint[count * rows * words], new Half[count * rows * groups], new Half[rows * groups]);
            for (var row = 0; row < rows; row++)
            {
                for (var k = 0; k < groups; k++)
                {
                    var left = weight.AsSpan(row * columns + k * group, Math.Min(group, columns - k * group));
                    Subtract(left, beta[row * groups + k] = (Half)(Sum(left, signed: true) / left.Length), _ => true);
                    for (var basis = 0; basis < count; basis++)
                    {
                        var scale = alpha[(basis * rows + row) * groups + k] = (Half)(Sum(left, signed: false) / left.Length);
                        for (var column = 0; column < left.Length; column++)
                        {
                            if (left[column] >= 0)
                                planes[(basis * rows + row) * words + (k * group + column) / 32] |= 1u << (k * group + column) % 32;
                        }
                        Subtract(left, scale, value => value >= 0);
                    }
                }
            }
            return new(count, rows, columns, group, planes, alpha, beta);
        }

        private static float Sum(ReadOnlySpan<float> values, bool signed)
        {
            var sum = 0f;
            foreach (var value in values)
                sum += signed ? value : Math.Abs(value);
            return sum;
        }

        private static void Subtract(Span<float> values, Half scale, Func<float, bool> isPositive)
        {
            foreach (ref var value in values)
                value -= isPositive(value) ? (float)scale : -(float)scale;
        }
    }
}

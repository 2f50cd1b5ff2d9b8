using System.Text;
using Qbb.Checkpoints;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;
using Qbb.Tests;

namespace Qbb.Models.Tests;

/// <summary>Damaged JSON files of a model folder: each is refused by our own exception, or the model runs. QBB_FUZZ sets how many of each.</summary>
public sealed class JsonFuzzTests(ITestOutputHelper output) : IDisposable
{
    private const long MemoryLimit = 256L << 20;
    private static readonly TimeSpan TimeLimit = TimeSpan.FromMinutes(10);

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("config.json", 201)]
    [InlineData("generation_config.json", 202)]
    [InlineData("tokenizer_config.json", 203)]
    [InlineData("model.safetensors.index.json", 204)]
    [InlineData("tokenizer.json", 205)]
    public Task Damaged_files_are_refused_or_read(string name, int seed) => Task.Run(() =>
    {
        foreach (var file in Directory.GetFiles(Reference.Path("field", "index-stale-entry")))
            File.Copy(file, _folder.File(Path.GetFileName(file)));
        _folder.Write("generation_config.json", """{"eos_token_id": [2, 3], "temperature": 0.6, "top_k": 50, "top_p": 0.9, "do_sample": true, "repetition_penalty": 1.1}""");
        _folder.Write("tokenizer_config.json", """{"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true, "chat_template": "{{ messages }}", "model_max_length": 64}""");
        if (name == "config.json")
            _folder.Write(name, File.ReadAllText(_folder.File(name)).Replace("\"rope_scaling\": null", """
                "rope_scaling": {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
                "head_dim": 8, "quantization_config": {"quant_method": "gptq"}, "layer_types": ["full_attention", "full_attention"], "sliding_window": null
                """, StringComparison.Ordinal));
        var original = File.ReadAllBytes(_folder.File(name));
        Run();
        var random = new Random(seed);
        var (cases, ran) = (JsonMutation.Cases(300), 0);
        for (var k = 0; k < cases; k++)
        {
            var bytes = JsonMutation.Of(original, random);
            _folder.Write(name, bytes);
            var before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                Run();
                ran++;
            }
            catch (InvalidInputException)
            {
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}, case {k}: {e}\n{Encoding.UTF8.GetString(bytes)}");
            }
            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            if (allocated > MemoryLimit)
                Assert.Fail($"seed {seed}, case {k}: {allocated} bytes were allocated\n{Encoding.UTF8.GetString(bytes)}");
        }
        output.WriteLine($"{name}, seed {seed}: {ran} of {cases} ran, the others were refused");
        ran.ShouldBePositive();
    }).WaitAsync(TimeLimit);

    private void Run()
    {
        CheckpointInspector.Inspect(_folder.Path).ToJson().ToJsonString().ShouldNotBeEmpty();
        using var source = ModelSource.Open(_folder.Path);
        StopIds.Of(source).ShouldAllBe(id => id >= 0);
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        model.forward(torch.tensor([1L, 5L, 9L], 1, 3)).numel().ShouldBePositive();
        var tokenizer = source.LoadTokenizer();
        tokenizer.Decode(tokenizer.Encode("a text, with the words")).ShouldNotBeNull();
    }
}

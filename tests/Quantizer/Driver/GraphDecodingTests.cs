using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Decoder.Graph;
using Qbb.Models.Generation;
using Qbb.Quantizer.Driver;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Driver;

/// <summary>Decoding a quantized model on a GPU: kernels and graph against the layers' plain form.</summary>
public sealed class GraphDecodingTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("qbb-graph-").FullName;
    private readonly DisposeScope _scope = torch.NewDisposeScope();

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData(ScalarType.Float16, 1), InlineData(ScalarType.Float16, 5), InlineData(ScalarType.BFloat16, 2)]
    public void Steps_give_the_logits_of_the_plain_layers(ScalarType dtype, int batch)
    {
        using var source = Quantized();
        using var model = Load(source, dtype);
        using var plain = Plain(source, dtype);
        using var off = torch.no_grad();
        GraphDecoder.Supports(model, batch).ShouldBeTrue();
        GraphDecoder.Supports(plain, batch).ShouldBeFalse();
        var random = new Random(1);
        int[] padding = [.. Enumerable.Range(0, batch).Select(row => row % 4)];
        var ids = torch.tensor([.. Enumerable.Range(0, batch * 20).Select(_ => (long)random.Next(2, 4096))], batch, 20);
        using KvCache ours = new(model.Config, batch, 64, torch.CUDA, dtype), theirs = new(model.Config, batch, 64, torch.CUDA, dtype);
        model.hidden(ids.narrow(1, 0, 8), ours, padding);
        plain.hidden(ids.narrow(1, 0, 8), theirs, padding);
        using var graph = new GraphDecoder(model, ours);
        for (var k = 8; k < 20; k++)
        {
            using var inner = torch.NewDisposeScope();
            var next = ids.narrow(1, k, 1).contiguous();
            graph.Step(next.ToArray<long>());
            var expected = plain.forward(next, theirs).flatten(0, 1).to(ScalarType.Float32);
            var actual = graph.Logits.to(ScalarType.Float32);
            var error = ((actual - expected).norm() / expected.norm()).ToDouble();
            TestContext.Current.TestOutputHelper?.WriteLine($"place {k}: relative error {error:0.0e0}");
            error.ShouldBeLessThan(dtype == ScalarType.Float16 ? 5e-3 : 4e-2);
            graph.Chosen(k + 1, 1).ShouldBe(graph.Logits.argmax(1).ToArray<long>().Select(id => (int)id));
        }
    }

    [Fact]
    public void The_greedy_text_is_that_of_the_plain_layers()
    {
        using var source = Quantized();
        var tokenizer = source.LoadTokenizer();
        var options = new GenerationOptions { MaxTokens = 200, Temperature = 0 };
        IReadOnlyList<int>[] prompts = [[.. tokenizer.Encode("Once upon a time")]];
        IReadOnlyList<int> Text(Transformer model, bool graph)
        {
            using (model)
                return new TokenGenerator(model).Generate(prompts, [0], options with { Graph = graph })[0].Tokens;
        }
        var expected = Text(Plain(source, ScalarType.Float16), graph: false);
        var actual = Text(Load(source, ScalarType.Float16), graph: true);
        TestContext.Current.TestOutputHelper?.WriteLine(tokenizer.Decode([.. actual], skipSpecialTokens: true));
        actual.Count.ShouldBe(200);
        actual.ShouldBe(expected);
    }

    private ModelSource Quantized()
    {
        Assert.SkipUnless(torch.cuda.is_available(), "no CUDA device on this machine");
        var output = Path.Combine(_folder, "out");
        new ModelQuantizer(new Recipe { Bases = 4, Group = 128 }).Run(Path.Combine(Reference.Root, "samples", "teacher"), output);
        return ModelSource.Open(output);
    }

    private static Transformer Load(ModelSource source, ScalarType dtype) => Transformer.Load(source, torch.CUDA, dtype, BasesLinearLoader.For(source));

    /// <summary>Scales that want gradients make the layers multiply with the dense weight.</summary>
    private static Transformer Plain(ModelSource source, ScalarType dtype)
    {
        var model = Load(source, dtype);
        foreach (var (name, parameter) in model.Parameters())
            if (name.EndsWith(".alpha", StringComparison.Ordinal))
                parameter.requires_grad = true;
        return model;
    }
}

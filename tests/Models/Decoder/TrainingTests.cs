using System.Text.Json.Nodes;
using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder;

public class TrainingTests(ITestOutputHelper output)
{
    private static DecoderConfig Config(string name) =>
        DecoderConfig.FromJson(JsonNode.Parse(File.ReadAllText(Path.Combine(Golden.Folder(name), "config.json")))!.AsObject());

    [Theory]
    [MemberData(nameof(Golden.Rows), MemberType = typeof(Golden))]
    public void Gradients_agree_with_finite_differences(string name)
    {
        const ulong seed = 7;
        output.WriteLine($"seed {seed}");
        using var model = Transformer.Create(Config(name), seed, dtype: ScalarType.Float64).requires_grad_();
        using var scope = torch.NewDisposeScope();
        var ids = Golden.Of(name).Ids().narrow(1, 0, 9);
        Loss(model, ids).backward();
        foreach (var (parameter, value) in model.Parameters())
        {
            using var inner = torch.NewDisposeScope();
            var gradient = value.grad.ShouldNotBeNull(parameter).view(-1);
            var index = gradient.abs().argmax(0).ToInt64();
            var expected = FiniteDifference(model, ids, value, index);
            gradient.narrow(0, index, 1).ToDouble().ShouldBe(expected, 1e-4 * Math.Abs(expected) + 1e-8, parameter);
        }
    }

    [Fact]
    public void Loss_falls_when_a_model_is_trained()
    {
        using var model = Transformer.Create(Config("llama-gqa-tied"), seed: 3).requires_grad_();
        using var scope = torch.NewDisposeScope();
        var ids = Golden.Of("llama-gqa-tied").Ids();
        var first = 0.0;
        var last = 0.0;
        for (var step = 0; step < 40; step++)
        {
            using var inner = torch.NewDisposeScope();
            var loss = Loss(model, ids);
            loss.backward();
            (first, last) = (step == 0 ? loss.ToDouble() : first, loss.ToDouble());
            using var grad = torch.no_grad();
            foreach (var (_, value) in model.Parameters())
            {
                value.sub_(value.grad! * 0.5);
                value.grad = null;
            }
        }
        output.WriteLine($"loss {first:F3} -> {last:F3}");
        last.ShouldBeLessThan(first - 1);
    }

    [Fact]
    public void Gradients_do_not_depend_on_the_chunks_of_attention()
    {
        // 300 tokens are two chunks of queries; the loss sees the second one only.
        using var model = Transformer.Create(Config("llama-mha"), seed: 5, dtype: ScalarType.Float64).requires_grad_();
        using var scope = torch.NewDisposeScope();
        var ids = torch.tensor([.. Enumerable.Range(0, 300).Select(i => (long)(i * 37 % 256))], 1, 300);
        model.forward(ids).narrow(1, 290, 10).square().mean().backward();
        var key = model.Blocks[0].Linear(LinearRole.Key).Parameters().Single().Value;
        var gradient = key.grad!.view(-1);
        var index = gradient.abs().argmax(0).ToInt64();
        var expected = Difference(() => model.forward(ids).narrow(1, 290, 10).square().mean().ToDouble(), key, index);
        gradient.narrow(0, index, 1).ToDouble().ShouldBe(expected, 1e-4 * Math.Abs(expected));
    }

    private static Tensor Loss(Transformer model, Tensor ids)
    {
        var count = ids.size(1) - 1;
        var logits = model.forward(ids.narrow(1, 0, count));
        return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.size(-1)), ids.narrow(1, 1, count).reshape(-1));
    }

    private static double FiniteDifference(Transformer model, Tensor ids, Tensor parameter, long index) =>
        Difference(() => Loss(model, ids).ToDouble(), parameter, index);

    private static double Difference(Func<double> loss, Tensor parameter, long index)
    {
        const double step = 1e-5;
        using var grad = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var element = parameter.view(-1).narrow(0, index, 1);
        element.add_(step);
        var above = loss();
        element.sub_(2 * step);
        var below = loss();
        element.add_(step);
        return (above - below) / (2 * step);
    }
}

namespace Qbb.Torch.Tests;

public class ScaledDotProductAttentionTests
{
    [Fact]
    public void Fused_attention_agrees_with_its_formula()
    {
        Assert.SkipUnless(torch.nn.functional.has_scaled_dot_product_attention, $"libtorch {torch.version} has no such operator");
        using var scope = torch.NewDisposeScope();
        using var generator = new Generator(1);
        var (q, k, v) = (Random(), Random(), Random());
        var hidden = torch.full([4, 4], double.NegativeInfinity).triu(1);
        var expected = torch.nn.functional.softmax(q.matmul(k.transpose(-1, -2)) * 0.3 + hidden, -1).matmul(v);
        var causal = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal: true, scale: 0.3);
        var masked = torch.nn.functional.scaled_dot_product_attention(q, k, v, hidden, scale: 0.3);
        (causal - expected).abs().max().item().ShouldBeLessThan(1e-5);
        (masked - expected).abs().max().item().ShouldBeLessThan(1e-5);

        Tensor Random() => torch.randn([2, 3, 4, 8], generator);
    }
}

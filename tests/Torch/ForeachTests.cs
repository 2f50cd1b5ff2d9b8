using static Qbb.Torch.torch;

namespace Qbb.Torch.Tests;

public class ForeachTests
{
    [Fact]
    public void Many_tensors_at_once_are_as_one_after_the_other()
    {
        using var scope = NewDisposeScope();
        foreach (var device in cuda.is_available() ? new[] { Device.CPU, Device.CUDA } : [Device.CPU])
        {
            Tensor[] a = [Of(device, 3, 4), Of(device, -1)], b = [Of(device, 2, 0.5f), Of(device, 6)];
            _foreach_add(a, b).Select(t => t.to_array<float>()).ShouldBe([[5f, 4.5f], [5f]]);
            _foreach_mul(a, b).Select(t => t.to_array<float>()).ShouldBe([[6f, 2f], [-6f]]);
            _foreach_norm(a).Select(t => t.item()).ShouldBe([5.0, 1.0]);
            _foreach_mul_(a, 2);
            a.Select(t => t.to_array<float>()).ShouldBe([[6f, 8f], [-2f]]);
            _foreach_copy_(a, b);
            a.Select(t => t.to_array<float>()).ShouldBe([[2f, 0.5f], [6f]]);
        }
    }

    [Fact]
    public void The_fused_step_of_AdamW_is_the_plain_one()
    {
        Assert.SkipUnless(cuda.is_available(), "no GPU here");
        using var scope = NewDisposeScope();
        var (plain, fused) = (Trained(Device.CPU), Trained(Device.CUDA));
        for (var k = 0; k < plain.Length; k++)
            fused[k].ShouldBe(plain[k], 1e-6f);

        // The second parameter has no gradient in every other step.
        static float[] Trained(Device device)
        {
            var (a, b) = (Of(device, 1, -2).requires_grad_(), Of(device, 0.5f).requires_grad_());
            using var adam = new optim.AdamW([(a, 0.1), (b, 0)]);
            for (var k = 0; k < 7; k++)
            {
                adam.zero_grad();
                (k % 2 == 0 ? a.square().sum() + (b - 2).square().sum() : a.square().sum()).backward();
                adam.clip_grad_norm(3);
                adam.step(0.05);
            }
            return [.. a.detach().to_array<float>(), .. b.detach().to_array<float>()];
        }
    }

    private static Tensor Of(Device device, params float[] values) => tensor(values).to(device);
}

using Qbb.Quantizer.Distillation;
using Qbb.Recipes;

namespace Qbb.Quantizer.Tests.Distillation;

public class LogitLossTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(DistillationLoss.Ce, 1), InlineData(DistillationLoss.Kd, 1), InlineData(DistillationLoss.Kd, 2.5), InlineData(DistillationLoss.KdMse, 1), InlineData(DistillationLoss.KdMseSwap, 1)]
    public void Losses_and_their_gradients_agree_with_the_plain_form(DistillationLoss loss, double temperature)
    {
        const int seed = 11, positions = 7, vocabulary = 23;
        output.WriteLine($"seed {seed}");
        using var scope = NewDisposeScope();
        using var generator = new Generator(seed);
        var student = (randn([positions, vocabulary], ScalarType.Float64, generator: generator) * 3).detach().requires_grad_();
        var teacher = randn([positions, vocabulary], ScalarType.Float64, generator: generator) * 3;
        var labels = randint(0, vocabulary, [positions], generator: generator);
        var sum = LogitLoss.Sum(loss, student, teacher, labels, temperature);
        Gradients.Backward(sum);
        var expected = 0.0;
        var largest = 0.0;
        for (var row = 0; row < positions; row++)
        {
            var (value, gradient) = ReferenceLogitLoss.Of(loss, student.select(0, row).ToArray<double>(), teacher.select(0, row).ToArray<double>(),
                (int)labels.select(0, row).ToInt64(), temperature);
            expected += value;
            largest = Math.Max(largest, student.grad!.select(0, row).ToArray<double>().Zip(gradient, (a, b) => Math.Abs(a - b)).Max());
        }
        output.WriteLine($"largest difference of a gradient {largest:g3}");
        sum.ToDouble().ShouldBe(expected, 1e-10 * expected);
        largest.ShouldBeLessThan(1e-12);
    }

    [Theory]
    [InlineData(DistillationLoss.Ce), InlineData(DistillationLoss.Kd), InlineData(DistillationLoss.KdMse)]
    public void Chunks_add_up_to_the_whole(DistillationLoss loss)
    {
        const int seed = 12, positions = 10, width = 6, vocabulary = 17;
        output.WriteLine($"seed {seed}");
        using var scope = NewDisposeScope();
        using var generator = new Generator(seed);
        var start = randn([positions, width], ScalarType.Float64, generator: generator).requires_grad_();
        var (head, teacher) = (randn([vocabulary, width], ScalarType.Float64, generator: generator), randn([positions, vocabulary], ScalarType.Float64, generator: generator));
        var labels = randint(0, vocabulary, [positions], generator: generator);
        var whole = LogitLoss.Sum(loss, nn.functional.linear(start * 2, head), teacher, labels) / positions;
        Gradients.Backward(whole);
        var expected = start.grad!.ToArray<double>();
        foreach (var chunk in new long[] { 1, 3, 10, 100 })
        {
            start.grad = null;
            var calls = 0;
            var chunked = ChunkedLoss.Sum(start * 2, chunk, (part, first, count) =>
            {
                calls++;
                return LogitLoss.Sum(loss, nn.functional.linear(part, head), teacher.narrow(0, first, count), labels.narrow(0, first, count));
            }) / positions;
            Gradients.Backward(chunked);
            calls.ShouldBe((int)((positions + chunk - 1) / chunk));
            chunked.ToDouble().ShouldBe(whole.ToDouble(), 1e-12);
            start.grad!.ToArray<double>().Zip(expected, (a, b) => Math.Abs(a - b)).Max().ShouldBeLessThan(1e-13, $"chunks of {chunk}");
        }
        using var off = no_grad();
        ChunkedLoss.Sum(start * 2, 4, (part, first, count) => LogitLoss.Sum(loss, nn.functional.linear(part, head), teacher.narrow(0, first, count), labels.narrow(0, first, count)))
            .requires_grad.ShouldBeFalse();
    }
}

using Qbb.Checkpoints;

namespace Qbb.Checkpoints.Tests;

public class WeightChecksTests
{
    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void The_first_bad_weight_is_named_wherever_it_lies(float bad)
    {
        for (var length = 1; length < 40; length++)
        {
            for (var index = 0; index < length; index++)
            {
                var values = Enumerable.Repeat(float.MaxValue, length).ToArray();
                values[index] = bad;
                values[^1] = bad;
                WeightChecks.FirstNotFinite(values).ShouldBe(index);
            }
        }
        var message = Should.Throw<InvalidInputException>(() => WeightChecks.ThrowIfNotFinite("model.w", [0, 1, bad])).Message;
        message.ShouldContain("tensor model.w holds");
        message.ShouldContain("index 2");
    }

    [Fact]
    public void Finite_weights_pass()
    {
        WeightChecks.ThrowIfNotFinite("w", []);
        WeightChecks.ThrowIfNotFinite("w", [float.MaxValue, -float.MaxValue, float.Epsilon, -0f, 0, 1, 2, 3, 4, 5, 6]);
    }
}

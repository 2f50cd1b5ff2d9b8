using Qbb.Quantizer.Methods.Alternating;

namespace Qbb.Quantizer.Tests.Methods.Alternating;

public class SortedGroupTests
{
    [Fact]
    public void Order_sums_and_counts_are_those_of_the_weights()
    {
        var group = new SortedGroup(300);
        for (var length = 1; length <= 300; length += length < 70 ? 1 : 23)
        {
            var w = Synthetic.Gaussian(length, (ulong)length);
            for (var j = 0; j < length; j += 5)
                w[j] = j % 2 == 0 ? 0 : -0f;
            group.Load(w);
            var sorted = w.Order().ToArray();
            Enumerable.Range(0, length).Select(group.Column).Order().ShouldBe(Enumerable.Range(0, length));
            for (var place = 0; place < length; place++)
                w[group.Column(place)].ShouldBe(sorted[place]);
            group.Sum(0, length).ShouldBe(w.Sum(value => (double)value), 1e-9);
            group.Squares.ShouldBe(w.Sum(value => (double)value * value), 1e-9);
            (group.Smallest, group.Largest).ShouldBe((sorted[0], sorted[^1]));

            float[] thresholds = [float.NegativeInfinity, sorted[0], 0, sorted[length / 2], sorted[^1], 10, float.PositiveInfinity, -1];
            var counts = new int[8];
            group.CountBelow(thresholds, counts);
            counts.ShouldBe(thresholds.Select(threshold => w.Count(value => value < threshold)));
        }
    }
}

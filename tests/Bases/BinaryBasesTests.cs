using Qbb.Models;

namespace Qbb.Bases.Tests;

public class BinaryBasesTests
{
    public static TheoryData<int, int, int, int, bool> Shapes => new()
    {
        { 1, 1, 1, 1, false },
        { 8, 3, 31, 7, true },
        { 2, 5, 32, 32, false },
        { 3, 4, 33, 128, true },
        { 4, 6, 200, 128, true },
        { 4, 2, 256, 64, false },
        { 5, 3, 130, 12, true },
        { 2, 3, 100, 1, true },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Expansion_equals_the_plain_form_bit_for_bit(int count, int rows, int columns, int group, bool bias)
    {
        var bases = RandomBases.Create(1, count, rows, columns, group, bias);
        var plain = new float[rows * columns];
        BasesExpansion.ReferenceExpand(bases, 0, rows, plain);
        var fast = new float[rows * columns];
        bases.Dequantize(0, rows, fast);
        fast.ShouldBe(plain);

        var one = new float[columns];
        bases.Dequantize(rows - 1, 1, one);
        one.ShouldBe(plain[^columns..]);
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Product_from_signs_equals_the_product_of_the_expanded_weight(int count, int rows, int columns, int group, bool bias)
    {
        const int tokens = 3;
        var bases = RandomBases.Create(2, count, rows, columns, group, bias);
        var x = RandomBases.Vector(3, tokens * columns);
        var y = new double[tokens * rows];
        ReferenceProduct.Multiply(bases, x, y);

        var dense = new float[rows * columns];
        BasesExpansion.ReferenceExpand(bases, 0, rows, dense);
        var worst = 0.0;
        for (var token = 0; token < tokens; token++)
        {
            for (var row = 0; row < rows; row++)
            {
                var expected = Enumerable.Range(0, columns).Sum(column => dense[row * columns + column] * x[token * columns + column]);
                worst = Math.Max(worst, Math.Abs(expected - y[token * rows + row]));
            }
        }
        TestContext.Current.TestOutputHelper!.WriteLine($"largest difference {worst:g3}, tolerance 1e-4");
        worst.ShouldBeLessThan(1e-4);
    }

    [Fact]
    public void Effective_bits_count_everything_that_is_stored()
    {
        RandomBases.Create(1, 4, 8, 256, 128, bias: true).EffectiveBitsPerWeight.ShouldBe(4.625);
        RandomBases.Create(1, 3, 8, 256, 128, bias: false).EffectiveBitsPerWeight.ShouldBe(3 + 16.0 * 3 / 128);
        RandomBases.Create(1, 2, 8, 4096, int.MaxValue, bias: false).EffectiveBitsPerWeight.ShouldBe(2 + 16.0 * 2 / 4096);
        // 200 columns: 7 words hold 224 signs, two groups of 128 and 72.
        RandomBases.Create(1, 2, 8, 200, 128, bias: true).EffectiveBitsPerWeight.ShouldBe((2 * 224 + 2 * 16 * 3) / 200.0);
    }

    [Fact]
    public void Short_last_group_is_kept()
    {
        var bases = RandomBases.Create(1, 2, 3, 200, 128, bias: true);
        bases.Groups.ShouldBe(2);
        bases.Alpha.Length.ShouldBe(2 * 3 * 2);
    }

    [Theory]
    [InlineData(0, 2, 32, 32, "bases")]
    [InlineData(9, 2, 32, 32, "bases")]
    [InlineData(2, 0, 32, 32, "no elements")]
    [InlineData(2, 2, 32, 0, "group size")]
    [InlineData(2, 2, 32, -8, "group size")]
    [InlineData(2, 2, 65, 65, "planes")]
    [InlineData(2, 2, 32, 16, "alpha")]
    public void Sizes_that_do_not_fit_are_refused(int count, int rows, int columns, int group, string named) =>
        Should.Throw<InvalidInputException>(
                () => new BinaryBases(count, rows, columns, group, new uint[count * rows], new Half[count * rows], null))
            .Message.ShouldContain(named);

    [Fact]
    public void Rows_outside_the_weight_are_refused()
    {
        var bases = RandomBases.Create(1, 1, 2, 32, 32, bias: false);
        Should.Throw<ArgumentOutOfRangeException>(() => bases.Dequantize(1, 2, new float[64]));
        Should.Throw<ArgumentException>(() => bases.Dequantize(0, 2, new float[63]));
    }
}

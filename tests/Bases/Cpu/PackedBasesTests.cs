using Qbb.Bases.Cpu;

namespace Qbb.Bases.Tests.Cpu;

public class PackedBasesTests
{
    [Theory]
    [InlineData(1, 1, 1, 1), InlineData(3, 17, 33, 7), InlineData(4, 37, 200, 128), InlineData(2, 50, 300, int.MaxValue)]
    [InlineData(8, 33, 523, 300), InlineData(2, 16, 1024, 32), InlineData(5, 15, 777, 64)]
    public void What_is_packed_comes_back(int count, int rows, int columns, int group)
    {
        foreach (var bias in new[] { false, true })
        {
            var bases = RandomBases.Create(Random.Shared.Next(), count, rows, columns, group, bias);
            using var packed = PackedBases.Pack(bases);
            var back = packed.Unpack();
            (back.Count, back.OutFeatures, back.InFeatures, back.GroupSize).ShouldBe((count, rows, columns, bases.GroupSize));
            back.Alpha.ShouldBe(bases.Alpha);
            back.Beta.ShouldBe(bases.Beta);
            for (var basis = 0; basis < count; basis++)
                for (var row = 0; row < rows; row++)
                    for (var column = 0; column < 32 * bases.WordsPerRow; column++)
                        SignPacking.IsPositive(back.Row(basis, row), column)
                            .ShouldBe(column < columns && SignPacking.IsPositive(bases.Row(basis, row), column));
        }
    }

    [Fact]
    public void Where_groups_are_multiples_of_32_nothing_is_added_but_rows_of_the_last_tile()
    {
        var bases = RandomBases.Create(1, 4, 64, 1024, 128, bias: true);
        using var packed = PackedBases.Pack(bases);
        packed.Bytes.ShouldBe(bases.StoredBytes);
    }

    [Fact]
    public void A_code_is_its_own_inverse_and_odd_in_its_top_bit()
    {
        for (var signs = 0u; signs < 16; signs++)
        {
            NibbleCode.Turn(NibbleCode.Turn(signs)).ShouldBe(signs);
            for (var column = 0; column < 4; column++)
                NibbleCode.IsPositive((int)signs, column).ShouldNotBe(NibbleCode.IsPositive((int)signs ^ 8, column));
        }
    }
}

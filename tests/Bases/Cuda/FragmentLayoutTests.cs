using Qbb.Bases.Cuda;

namespace Qbb.Bases.Tests.Cuda;

public class FragmentLayoutTests
{
    [Theory]
    [InlineData(1, 1, 1, 1, false), InlineData(3, 17, 300, 128, true), InlineData(4, 32, 512, 128, false)]
    [InlineData(8, 5, 255, 64, true), InlineData(2, 40, 257, 257, false)]
    public void Every_sign_and_scale_lies_where_the_layout_says_and_comes_back(int count, int rows, int columns, int group, bool bias)
    {
        using var scope = NewDisposeScope();
        var bases = RandomBases.Create(3, count, rows, columns, group, bias);
        var (planes, alpha, beta) = Packing.Tensors(bases);
        using var packed = PackedBases.Pack(planes, alpha, beta, columns, bases.GroupSize);

        var words = packed.Words.flatten().ToArray<int>();
        var steps = FragmentLayout.Steps(columns);
        for (var basis = 0; basis < count; basis++)
            for (var row = 0; row < rows; row++)
                for (var column = 0; column < columns; column++)
                {
                    // The definition in the layout's remarks, element by element.
                    var (tile, g, high) = (row / 16, row % 8, row % 16 / 8);
                    var (step, word) = (column / 256, column % 256 / 32);
                    var lane = 4 * g + word % 4;
                    var place = (((tile * steps + step) * count + basis) * 32 + lane) * 4 + 2 * (word / 4) + high;
                    (words[place] >> (column % 32) & 1).ShouldBe(SignPacking.IsPositive(bases.Row(basis, row), column) ? 1 : 0);
                }

        FragmentLayout.UnpackSigns(packed.Words, rows, columns).flatten().ToArray<int>().ShouldBe(bases.Planes.Select(word => (int)word));
        var scales = FragmentLayout.UnpackScales(packed.Scales, rows).flatten().ToArray<Half>();
        scales.ShouldBe([.. bases.Alpha, .. bases.Beta ?? []]);
        var (held, groups, planesOfScales) = (packed.Scales.flatten().ToArray<Half>(), bases.Groups, count + (bias ? 1 : 0));
        for (var basis = 0; basis < count; basis++)
            for (var row = 0; row < rows; row++)
                for (var k = 0; k < groups; k++)
                    held[(((row / 16 * groups + k) * 8 + row % 8) * planesOfScales + basis) * 2 + row % 16 / 8].ShouldBe(bases.Scale(basis, row, k));
    }
}

using Qbb.Models;

namespace Qbb.Bases.Tests;

public class NestedBasesTests
{
    [Theory]
    [InlineData(200, 128, true)]
    [InlineData(64, 32, false)]
    public void Every_n_is_read_back_with_its_own_scales(int columns, int group, bool bias)
    {
        var nested = Create(3, columns, group, bias);
        using var source = new MemoryTensorSource(BasesTensors.Write("m", nested));
        for (var count = 1; count <= 3; count++)
        {
            var (back, expected) = (BasesTensors.Read(source, "m", 4, columns, group, count), nested.At(count));
            back.Count.ShouldBe(count);
            back.Planes.ShouldBe(expected.Planes);
            back.Planes.ShouldBe(nested.Whole.Planes[..back.Planes.Length]);
            back.Alpha.ShouldBe(expected.Alpha);
            back.Beta.ShouldBe(expected.Beta);
        }
        BasesTensors.Read(source, "m", 4, columns, group).Alpha.ShouldBe(nested.Whole.Alpha);
        BasesTensors.Write("m", nested).Sum(tensor => tensor.Bytes.Length * 8.0).ShouldBe(nested.EffectiveBitsPerWeight * 4 * columns);
    }

    [Fact]
    public void Names_and_shapes_are_those_of_the_format() =>
        BasesTensors.Write("m", Create(3, 200, 128, true)).Select(tensor => $"{tensor.Name} [{string.Join(", ", tensor.Shape)}]").ShouldBe(
            ["m.planes [3, 4, 7]", "m.alpha [3, 4, 2]", "m.beta [4, 2]", "m.alpha.1 [1, 4, 2]", "m.beta.1 [4, 2]", "m.alpha.2 [2, 4, 2]", "m.beta.2 [4, 2]"]);

    [Fact]
    public void What_is_not_there_is_named()
    {
        using var nested = new MemoryTensorSource(BasesTensors.Write("m", Create(3, 64, 32, true)));
        Should.Throw<InvalidInputException>(() => BasesTensors.Read(nested, "m", 4, 64, 32, 4)).Message.ShouldContain("3 bases");
        Should.Throw<InvalidInputException>(() => BasesTensors.Read(nested, "m", 4, 64, 32, 0)).Message.ShouldContain("another number");
        using var plain = new MemoryTensorSource(BasesTensors.Write("m", RandomBases.Create(5, 3, 4, 64, 32, true)));
        Should.Throw<InvalidInputException>(() => BasesTensors.Read(plain, "m", 4, 64, 32, 2)).Message.ShouldContain("--nested");
        Should.Throw<InvalidInputException>(() => new NestedBases(RandomBases.Create(5, 3, 4, 64, 32, true), [])).Message.ShouldContain("2 smaller");
    }

    private static NestedBases Create(int count, int columns, int group, bool bias) => new(
        RandomBases.Create(5, count, 4, columns, group, bias),
        [.. Enumerable.Range(1, count - 1).Select(n => RandomBases.Create(n, n, 4, columns, group, bias)).Select(one => new NestedScales(one.Alpha, one.Beta))]);
}

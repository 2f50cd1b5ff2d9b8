using Qbb.Models;

namespace Qbb.Bases.Tests;

public class BasesTensorsTests
{
    [Theory]
    [InlineData(200, 128, true)]
    [InlineData(64, 32, false)]
    public void What_is_written_is_read_back(int columns, int group, bool bias)
    {
        var bases = RandomBases.Create(5, 3, 4, columns, group, bias);
        using var source = new MemoryTensorSource(BasesTensors.Write("model.layers.0.q_proj", bases));
        BasesTensors.Contains(source, "model.layers.0.q_proj").ShouldBeTrue();
        BasesTensors.Contains(source, "model.layers.0").ShouldBeFalse();

        var back = BasesTensors.Read(source, "model.layers.0.q_proj", 4, columns, group);
        back.Planes.ShouldBe(bases.Planes);
        back.Alpha.ShouldBe(bases.Alpha);
        back.Beta.ShouldBe(bases.Beta);
        back.GroupSize.ShouldBe(bases.GroupSize);
    }

    [Theory]
    [InlineData(-24), InlineData(100)]
    public void A_power_of_two_is_read_back(int exponent)
    {
        var bases = RandomBases.Create(5, 3, 4, 70, 32, bias: true);
        var nested = new NestedBases(bases, [new(bases.Alpha[..12], null), new(bases.Alpha[..24], null)]).WithExponent(exponent);
        using var source = new MemoryTensorSource(BasesTensors.Write("m", nested));
        foreach (var count in new[] { 1, 2, 3 })
            BasesTensors.Read(source, "m", 4, 70, 32, count).Exponent.ShouldBe(exponent);
        nested.At(1).Exponent.ShouldBe(exponent);
        float[] plain = new float[280], scaled = new float[280];
        bases.Dequantize(0, 4, plain);
        BasesTensors.Read(source, "m", 4, 70, 32).Dequantize(0, 4, scaled);
        scaled.ShouldBe(plain.Select(value => MathF.ScaleB(value, exponent)));
    }

    [Theory]
    [InlineData(true), InlineData(false)]
    public void A_weight_on_a_grid_is_read_back(bool free)
    {
        var random = RandomBases.Create(5, 4, 6, 96, 32, bias: true);
        Half[] steps = [.. Enumerable.Range(1, 18).Select(k => (Half)(k / 64f))], minima = [.. Enumerable.Range(1, 18).Select(k => (Half)(-k / 5f))];
        var bases = BinaryBases.OnGrid(4, 6, 96, 32, random.Planes, steps, free ? null : -8, free ? minima : null);
        var tensors = BasesTensors.Write("m", bases);
        tensors.Select(tensor => $"{tensor.Name} {tensor.Type} [{string.Join(", ", tensor.Shape)}]").ShouldBe(
            ["m.planes I32 [4, 6, 3]", "m.step F16 [6, 3]", free ? "m.minimum F16 [6, 3]" : "m.lowest I32 [1]"]);
        (bases.EffectiveBitsPerWeight, bases.StoredBytes).ShouldBe(free ? (5, 360) : (4.5, 324));
        using var source = new MemoryTensorSource(tensors);
        var back = BasesTensors.Read(source, "m", 6, 96, 32);
        back.Steps.ShouldBe(steps);
        back.Minima.ShouldBe(free ? minima : null);
        back.Lowest.ShouldBe(free ? null : -8);
        float[] found = new float[6 * 96], plain = new float[6 * 96];
        back.Dequantize(0, 6, found);
        BasesExpansion.ReferenceExpand(bases, 0, 6, plain);
        found.ShouldBe(plain);
        for (var place = 0; place < found.Length; place++)
        {
            var q = 0;
            for (var basis = 0; basis < 4; basis++)
                q |= SignPacking.IsPositive(bases.Row(basis, place / 96), place % 96) ? 8 >> basis : 0;
            var (d, group) = ((float)steps[place / 32], place / 32);
            found[place].ShouldBe(free ? d * q + (float)minima[group] : d * (q - 8), 1e-6);
        }
        using var damaged = new MemoryTensorSource(tensors.Take(2));
        Should.Throw<InvalidInputException>(() => BasesTensors.Read(damaged, "m", 6, 96, 32)).Message.ShouldContain("m.minimum");
        Should.Throw<InvalidInputException>(() => BinaryBases.OnGrid(8, 1, 32, 32, new uint[8], [(Half)2000f], -128, null)).Message.ShouldContain("too large");
    }

    [Fact]
    public void A_weight_with_zero_points_is_read_back()
    {
        var random = RandomBases.Create(5, 4, 6, 96, 32, bias: true);
        Half[] steps = [.. Enumerable.Range(1, 18).Select(k => (Half)(k / 64f))], zeros = [.. Enumerable.Range(1, 18).Select(k => (Half)(k / 4f))];
        var bases = BinaryBases.OnGrid(4, 6, 96, 32, random.Planes, steps, null, null, zeros);
        var tensors = BasesTensors.Write("m", bases);
        tensors.Select(tensor => tensor.Name).ShouldBe(["m.planes", "m.step", "m.zero"]);
        bases.StoredBytes.ShouldBe(360);
        using var source = new MemoryTensorSource(tensors);
        var back = BasesTensors.Read(source, "m", 6, 96, 32);
        (back.Zeros, back.Minima, back.Lowest).ShouldBe((back.Zeros, null, null));
        back.Zeros.ShouldBe(zeros);
        var (found, levels, q) = (new float[6 * 96], new UniformLevels(back), new int[32]);
        back.Dequantize(0, 6, found);
        for (var place = 0; place < zeros.Length; place++)
        {
            levels.TryRead(place / 3, place % 3).ShouldBeTrue();
            levels.Levels(place / 3, place % 3 * 32, q);
            for (var j = 0; j < 32; j++)
                found[place * 32 + j].ShouldBe((float)steps[place] * (q[j] - (float)zeros[place]));
        }
        Should.Throw<ArgumentException>(() => BinaryBases.OnGrid(4, 6, 96, 32, random.Planes, steps, -8, null, zeros));
    }

    [Fact]
    public void Row_scales_are_read_without_a_group_size()
    {
        var bases = RandomBases.Create(5, 2, 4, 96, int.MaxValue, bias: false);
        using var source = new MemoryTensorSource(BasesTensors.Write("m", bases));
        BasesTensors.Read(source, "m", 4, 96, null).GroupSize.ShouldBe(96);
    }

    [Fact]
    public void Names_types_and_shapes_are_those_of_the_format()
    {
        var tensors = BasesTensors.Write("m", RandomBases.Create(5, 3, 4, 200, 128, bias: true));
        tensors.Select(tensor => $"{tensor.Name} {tensor.Type} [{string.Join(", ", tensor.Shape)}] {tensor.Bytes.Length}").ShouldBe(
            ["m.planes I32 [3, 4, 7] 336", "m.alpha F16 [3, 4, 2] 48", "m.beta F16 [4, 2] 16"]);
    }

    [Fact]
    public void A_tensor_of_another_shape_or_type_is_named()
    {
        var tensors = BasesTensors.Write("m", RandomBases.Create(5, 3, 4, 200, 128, bias: true));
        using var source = new MemoryTensorSource(tensors);
        Should.Throw<InvalidInputException>(() => BasesTensors.Read(source, "m", 4, 200, 64)).Message.ShouldContain("m.alpha");
        Should.Throw<InvalidInputException>(() => BasesTensors.Read(source, "m", 5, 200, 128)).Message.ShouldContain("m.planes");
        Should.Throw<InvalidInputException>(() => BasesTensors.Read(source, "m", 4, 300, 128)).Message.ShouldContain("m.planes");
        Should.Throw<InvalidInputException>(() => BasesTensors.Read(source, "m", 4, 200, 0)).Message.ShouldContain("group");

        using var wrong = new MemoryTensorSource(
            tensors.Select(tensor => tensor.Name == "m.alpha" ? tensor with { Type = "BF16" } : tensor));
        Should.Throw<InvalidInputException>(() => BasesTensors.Read(wrong, "m", 4, 200, 128)).Message.ShouldContain("BF16");
        using var missing = new MemoryTensorSource(tensors.Where(tensor => tensor.Name != "m.alpha"));
        Should.Throw<InvalidInputException>(() => BasesTensors.Read(missing, "m", 4, 200, 128)).Message.ShouldContain("m.alpha");
        using var flat = new MemoryTensorSource(
            tensors.Select(tensor => tensor.Name == "m.planes" ? tensor with { Shape = [84] } : tensor));
        Should.Throw<InvalidInputException>(() => BasesTensors.Read(flat, "m", 4, 200, 128)).Message.ShouldContain("[84]");
    }
}

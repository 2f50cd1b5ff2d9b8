namespace Qbb.Contracts.Tests;

public class UnitKeyTests
{
    private static readonly Digest s_model = Digest.Of("model");
    private static readonly Digest s_part = Digest.Of("part");

    [Fact]
    public void Who_asks_is_no_part_of_a_unit() =>
        new SampleSequences(Guid.NewGuid(), s_model, s_part, DataUse.Calibration, 3).Unit
            .ShouldBe(new SampleSequences(Guid.NewGuid(), s_model, s_part, DataUse.Calibration, 3).Unit);

    [Fact]
    public void Every_input_makes_another_unit()
    {
        var (id, other) = (Guid.NewGuid(), Digest.Of("other"));
        Digest[] units =
        [
            new SampleSequences(id, s_model, s_part, DataUse.Calibration, 0).Unit,
            new SampleSequences(id, s_model, s_part, DataUse.Calibration, 1).Unit,
            new SampleSequences(id, s_model, s_part, DataUse.Evaluation, 0).Unit,
            new SampleSequences(id, other, s_part, DataUse.Calibration, 0).Unit,
            new SampleSequences(id, s_model, s_part, DataUse.Calibration, 0, Size: 64).Unit,
            new SampleSequences(id, s_model, s_part, DataUse.Calibration, 0, Type: Precision.Bf16).Unit,
            new SampleSequences(id, s_model, s_part, DataUse.Calibration, 0, Type: Precision.F32).Unit,
            new SampleSequences(id, s_model, other, DataUse.Calibration, 0).Unit,
            new DecomposeLayers(id, s_model, s_part, null, 0, null, []).Unit,
            new DecomposeLayers(id, s_model, s_part, other, 0, null, []).Unit,
            new DecomposeLayers(id, s_model, s_part, null, 0, 1, []).Unit,
            new DecomposeLayers(id, s_model, s_part, null, 0, null, [], Precision.Bf16).Unit,
            new DecomposeLayers(id, s_model, s_part, null, 0, null, [other]).Unit,
            new DecomposeLayers(id, s_model, s_part, null, 0, null, [s_part, other]).Unit,
            new DecomposeLayers(id, s_model, s_part, null, 0, null, [other, s_part]).Unit,
            new DistillRound(id, s_model, s_part, s_part, s_part, null).Unit,
            new DistillRound(id, s_model, s_part, s_part, s_part, other).Unit,
            new EvaluateWindows(id, s_model, s_part, s_part, null, 0, null).Unit,
            new EvaluateWindows(id, s_model, s_part, s_part, other, 0, null).Unit,
        ];
        units.Distinct().Count().ShouldBe(units.Length);
    }

    [Fact]
    public void Neighbouring_inputs_do_not_run_together() => UnitKey.Of("kind", "ab", "c").ShouldNotBe(UnitKey.Of("kind", "a", "bc"));
}

using System.Text.Json.Nodes;

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

    [Fact]
    public void Commands_come_back_from_a_statement_with_their_key_and_name_all_their_inputs()
    {
        var (id, a, b, c) = (Guid.NewGuid(), Digest.Of("a"), Digest.Of("b"), Digest.Of("c"));
        (IUnitCommand Command, Digest[] Inputs)[] commands =
        [
            (new SampleSequences(id, s_model, s_part, DataUse.Evaluation, 2, 8, Precision.Bf16, 3), [s_model, s_part]),
            (new AssembleData(id, s_model, s_part, DataUse.Calibration, [a, b], Precision.F32, 1), [s_model, s_part, a, b]),
            (new DecomposeLayers(id, s_model, s_part, a, 2, 4, [b, c], Precision.Bf16, 1), [s_model, s_part, a, b, c]),
            (new DecomposeLayers(id, s_model, s_part, null, 0, null, []), [s_model, s_part]),
            (new AssembleModel(id, s_model, s_part, a, "tiny", [b, c], 1), [s_model, s_part, a, b, c]),
            (new ScoreSequences(id, s_model, a, s_part, b, 1, 5, Precision.Bf16, 1), [s_model, a, s_part, b]),
            (new FilterSequences(id, s_model, a, s_part, b, [c], 1), [s_model, a, s_part, b, c]),
            (new DistillRound(id, s_model, a, s_part, b, c, 1), [s_model, a, s_part, b, c]),
            (new EvaluateWindows(id, s_model, a, s_part, b, 1, 5, 1), [s_model, a, s_part, b]),
        ];
        foreach (var (command, inputs) in commands)
        {
            var json = UnitCommands.Write(command).ToJsonString();
            json.ShouldNotContain($"{id}");
            var back = UnitCommands.Read(JsonNode.Parse(json)!.AsObject());
            back.ShouldBeOfType(command.GetType());
            back.Unit.ShouldBe(command.Unit);
            UnitCommands.InputsOf(command).ShouldBe(inputs, ignoreOrder: true);
        }
        Should.Throw<FormatException>(() => UnitCommands.Read(new JsonObject { ["command"] = "DropTables" })).Message.ShouldContain("DropTables");
    }
}

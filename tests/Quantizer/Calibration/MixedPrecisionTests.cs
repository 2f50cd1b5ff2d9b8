using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;
using Qbb.Quantizer.Driver;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Mixed;
using Qbb.Quantizer.Methods.OutputAware;
using Qbb.Quantizer.Tests.Distillation;
using Qbb.Recipes;
using Qbb.Tests;

namespace Qbb.Quantizer.Tests.Calibration;

public sealed class MixedPrecisionTests : IDisposable
{
    private static readonly string s_model = Reference.Path("architectures", "llama-gqa-tied");
    private static readonly Recipe s_recipe = new() { Group = 16, Rounds = 3 };
    private readonly string _folder = Directory.CreateTempSubdirectory("qbb-mixed-").FullName;

    private string Output => Path.Combine(_folder, "out");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>Each figure is the KL of a whole model in which that layer alone is quantized.</summary>
    [Theory]
    [InlineData("llama-gqa-tied", Importance.None)]
    [InlineData("gpt-neox", Importance.Full)]
    [InlineData("gpt2", Importance.Diag)]
    public void A_figure_is_the_divergence_of_a_model_with_one_layer_changed(string name, Importance importance)
    {
        var model = Reference.Path("architectures", name);
        var recipe = s_recipe with { Importance = importance };
        var data = TinyModels.Data(12);
        var options = new SensitivityOptions { MostBases = 3, Sequences = 3 };
        var found = Meter(recipe, options).Run(model, data);

        using var source = ModelSource.Open(model);
        using var scope = torch.NewDisposeScope();
        using var off = torch.no_grad();
        using var teacher = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        var specs = teacher.Layout.Linears.ToList();
        found.Layers.Select(layer => layer.Layer).ShouldBe(specs.Select(spec => spec.Module));
        // The first, which sees the embeddings, the last, and one between.
        foreach (var spec in new[] { specs[0], specs[specs.Count / 2], specs[^1] })
        {
            var figures = found.Layers.First(layer => layer.Layer == spec.Module);
            // Where two levels are equally good for a weight, the order in which a processor adds up H decides. So the figure may be that of any
            // H that differs by rounding.
            var statistics = Inputs(teacher, spec, data, importance == Importance.None ? 1 : 16);
            var values = new float[spec.WeightCount];
            WeightLoader.ReadWeight(source.Tensors, spec, values);
            for (var count = 1; count <= 3; count++)
            {
                var expected = statistics.Select(inputs =>
                {
                    var layer = new LayerWeights(spec.Weight, spec.OutFeatures, spec.InFeatures, values) { Inputs = inputs };
                    var bases = (BinaryBases)LayerMethods.For(recipe with { Bases = count }, torch.CPU).Quantize(layer).Weight;
                    figures.Bits[count - 1].ShouldBe(8 * bases.StoredBytes);
                    return Divergence(teacher, spec, ExpandedLinear.Create(bases, source.Tensors, spec, torch.CPU, ScalarType.Float32), data, [0, 4, 8]);
                }).ToArray();
                figures.Kl[count - 1].ShouldBeInRange(0.999 * expected.Min() - 1e-6, 1.001 * expected.Max() + 1e-6, $"{spec.Module}, N = {count}");
                expected.Max().ShouldBeLessThan(1.02 * expected.Min() + 1e-6);
            }
            foreach (var inputs in statistics)
                inputs.Dispose();
            figures.Kl[2].ShouldBeLessThan(figures.Kl[0]);
        }
    }

    [Fact]
    public void A_budget_is_kept_and_spent_where_it_matters_and_the_model_loads()
    {
        var sensitivity = Meter(s_recipe, new SensitivityOptions()).Run(s_model, TinyModels.Data(12));
        var bases = sensitivity.Allocate(5.2);
        sensitivity.BitsOf(bases).ShouldBeInRange(4.5, 5.2);
        bases.Select(layer => layer.Value).Distinct().Count().ShouldBeGreaterThan(1);
        // At no more bits than uniform 2 bases take, the sum is no worse.
        var uniform = new LayerBases(sensitivity.Layers.Select(layer => KeyValuePair.Create(layer.Layer, 2)));
        sensitivity.SumOfKl(sensitivity.Allocate(sensitivity.BitsOf(uniform))).ShouldBeLessThanOrEqualTo(sensitivity.SumOfKl(uniform));
        Should.Throw<InvalidInputException>(() => sensitivity.Allocate(1)).Message.ShouldContain("give more");

        var recipe = (s_recipe with { Bits = 5.2, BasesPerLayer = bases }).Resolve();
        var result = new ModelQuantizer(recipe).Run(s_model, Output);
        result.EffectiveBitsPerWeight.ShouldBe(sensitivity.BitsOf(bases), 1e-9);
        using var after = ModelSource.Open(Output);
        foreach (var (layer, count) in bases)
            after.Tensors.Describe(BasesTensors.Planes(layer)).Shape[0].ShouldBe(count);
        var config = after.ConfigJson["quantization_config"]!;
        config["bases_per_layer"]!.AsObject().ToDictionary(layer => layer.Key, layer => layer.Value!.GetValue<int>()).ShouldBe(bases.ToDictionary());
        Recipe.FromJson(File.ReadAllText(Path.Combine(Output, "recipe.json"))).ShouldBe(recipe);
        File.ReadAllText(Path.Combine(Output, "README.md")).ShouldContain("layers");
        using var scope = torch.NewDisposeScope();
        using var model = Transformer.Load(after, torch.CPU, ScalarType.Float32, BasesLinearLoader.For(after));
        model.forward(torch.tensor(new long[] { 1, 5, 2, 7 }, [1, 4])).ToArray<float>().ShouldAllBe(value => float.IsFinite(value));
        DenseExport.Write(after, Path.Combine(_folder, "dense"), "F32", force: false);

        var distilled = new Distiller(new DistillationRecipe { Steps = 20, Batch = 8, LearningRate = 0.003, EvaluateEvery = 5, HeldOut = 0.2 }, new DistillationOptions())
            .Run(Output, s_model, TinyModels.Data(40), Path.Combine(_folder, "distilled"));
        distilled.End.Kl.ShouldBeLessThan(distilled.Start.Kl);
    }

    [Fact]
    public void Figures_are_written_and_read_and_known_to_be_of_their_model_and_data()
    {
        var meter = Meter(s_recipe, new SensitivityOptions { MostBases = 2, Sequences = 1 });
        var found = meter.Run(s_model, TinyModels.Data(3));
        var file = Path.Combine(_folder, "sensitivity.json");
        found.Write(file);
        var back = Sensitivity.Read(file);
        back.Layers.SelectMany(layer => layer.Kl).ShouldBe(found.Layers.SelectMany(layer => layer.Kl));
        meter.Fits(back, found.Model, TinyModels.Data(3)).ShouldBeTrue();
        meter.Fits(back, found.Model, TinyModels.Data(4)).ShouldBeFalse();
        Meter(s_recipe with { Group = 8 }, new SensitivityOptions { MostBases = 2, Sequences = 1 }).Fits(back, found.Model, TinyModels.Data(3)).ShouldBeFalse();
        File.WriteAllText(file, "{}");
        Should.Throw<InvalidInputException>(() => Sensitivity.Read(file)).Message.ShouldContain("sensitivit");
        Should.Throw<InvalidInputException>(() => meter.Run(s_model, TinyModels.Data(1))).Message.ShouldContain("sample more");
    }

    [Fact]
    public void Recipes_of_another_model_or_without_a_choice_are_refused()
    {
        var other = s_recipe with { BasesPerLayer = new LayerBases([KeyValuePair.Create("model.layers.0.self_attn.q_proj", 2)]) };
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(other).Run(s_model, Output)).Message.ShouldContain("does not name");
        using var source = ModelSource.Open(s_model);
        var modules = DecoderLayout.Resolve(DecoderConfig.FromJson(source.ConfigJson), source.Tensors).Linears.Select(spec => spec.Module).ToList();
        var more = s_recipe with { BasesPerLayer = new LayerBases(modules.Append("model.layers.9.mlp.up_proj").Select(layer => KeyValuePair.Create(layer, 2))) };
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(more).Run(s_model, Output)).Message.ShouldContain("layers.9");
        Should.Throw<InvalidInputException>(() => new ModelQuantizer(s_recipe with { Bits = 3 })).Message.ShouldContain("--bits");
        Should.Throw<InvalidInputException>(() => Recipe.FromPart("""{"basesPerLayer":{"a":9}}""")).Message.ShouldContain("1 to 8");
        Should.Throw<InvalidInputException>(() => (s_recipe with { Nested = true, Bits = 2.5 }).Resolve()).Message.ShouldContain("nested and bits");
        Directory.GetFileSystemEntries(_folder).ShouldBeEmpty();
    }

    private static SensitivityMeter Meter(Recipe recipe, SensitivityOptions options) => new(recipe, one => LayerMethods.For(one, torch.CPU), options);

    /// <summary>Of one layer in the whole model, over the sequences that are not measured on.</summary>
    private static InputStatistics[] Inputs(Transformer model, LinearSpec spec, TokenSequences data, int variants)
    {
        var statistics = Enumerable.Range(0, variants).Select(_ => new InputStatistics(spec.InFeatures)).ToArray();
        var block = model.Blocks[spec.Block];
        using var generator = new Generator(1);
        var original = block.Replace(spec.Role, new RoundedTaps(block.Linear(spec.Role), statistics, generator));
        for (var k = 0; k < data.Count; k++)
        {
            if (k % 4 != 0)
                model.hidden(Ids(data, k));
        }
        block.Replace(spec.Role, original);
        return statistics;
    }

    /// <summary>The first statistics see the inputs, the others see them with their last bits changed.</summary>
    private sealed class RoundedTaps(ILinear inner, InputStatistics[] statistics, Generator generator) : ILinear
    {
        public int InFeatures => inner.InFeatures;

        public int OutFeatures => inner.OutFeatures;

        public Tensor forward(Tensor x)
        {
            statistics[0].Add(x);
            foreach (var other in statistics.Skip(1))
                other.Add(x * (1 + 3e-7 * torch.randn(x.shape, generator: generator)));
            return inner.forward(x);
        }

        public IEnumerable<(string Name, Tensor Value)> Parameters() => inner.Parameters();

        public void Dispose()
        {
        }
    }

    private static double Divergence(Transformer model, LinearSpec spec, ILinear changed, TokenSequences data, int[] measured)
    {
        var (sum, positions) = (0.0, 0L);
        foreach (var k in measured)
        {
            var truth = torch.nn.functional.log_softmax(model.forward(Ids(data, k)), -1);
            var original = model.Blocks[spec.Block].Replace(spec.Role, changed);
            var found = torch.nn.functional.log_softmax(model.forward(Ids(data, k)), -1);
            model.Blocks[spec.Block].Replace(spec.Role, original);
            sum += (truth.exp() * (truth - found)).sum().ToDouble();
            positions += data.LengthOf(k);
        }
        return sum / positions;
    }

    private static Tensor Ids(TokenSequences data, int index)
    {
        var ids = new int[data.LengthOf(index)];
        data.Read(index, ids);
        return torch.tensor(Array.ConvertAll(ids, id => (long)id), 1, ids.Length);
    }
}

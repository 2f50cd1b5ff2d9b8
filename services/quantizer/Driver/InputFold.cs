using Qbb.Bases;
using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Methods;
using Qbb.Quantizer.Methods.Rounding;

namespace Qbb.Quantizer.Driver;

/// <summary>
/// The operation before a layer that can divide by scales of the layer's inputs without a change of anything else: the norm before
/// attention or MLP, the values before attention's output, or what the gate multiplies before the way down. Its weights are the result's, so
/// the scales of <see cref="ScaledBases"/> take no bits.
/// </summary>
internal sealed class InputFold
{
    private readonly NormSpec? _norm;
    private readonly LinearSpec? _linear;
    private readonly Func<int, int> _rowOf = column => column;

    private InputFold(NormSpec norm) => _norm = norm;

    private InputFold(LinearSpec linear, Func<int, int> rowOf) => (_linear, _rowOf) = (linear, rowOf);

    /// <summary>What precedes a layer; null where something lies between that scales cannot pass.</summary>
    public static InputFold? Of(DecoderConfig config, BlockLayout block, LinearSpec spec) => spec.Role switch
    {
        LinearRole.AttentionOutput => OfValues(config, block),
        LinearRole.Down => OfUp(config, block),
        LinearRole.Gate or LinearRole.Up or LinearRole.GateUp => OfNorm(config, block.MlpNorm ?? block.AttentionNorm),
        _ => OfNorm(config, block.AttentionNorm),
    };

    /// <summary>Writes what comes before the layers of a model with their scales divided out.</summary>
    /// <param name="model">The model.</param>
    /// <param name="paths">The file of every layer; that of one which takes scales in becomes another.</param>
    /// <param name="group">Columns that share a scale.</param>
    /// <param name="folder">Gets the files.</param>
    /// <returns>The files of all tensors that differ from the model's, under the names of those.</returns>
    public static Dictionary<string, string> Apply(QuantizableModel model, IReadOnlyList<(LinearSpec Spec, string Path)> paths, int? group, string folder)
    {
        var files = paths.ToDictionary(layer => layer.Spec.Weight, layer => layer.Path, StringComparer.Ordinal);
        var blocks = model.Layout.Blocks.ToDictionary(block => block.Index);
        foreach (var (spec, path) in paths)
        {
            if (LayerFile.ReadInputScales(path, spec) is not { } scales)
                continue;
            var fold = Of(model.Config, blocks[spec.Block], spec) ?? throw new InvalidOperationException($"{spec.Module} has scales of its inputs and nothing that takes them");
            if (fold._norm is { } norm)
                fold.DivideNorm(norm, model.Source.Tensors, scales, folder, files);
            else
                fold.DivideRows(fold._linear!, model.Source.Tensors, scales, group, folder, files);
        }
        return files;
    }

    private static InputFold? OfNorm(DecoderConfig config, NormSpec norm) =>
        config.Order is BlockOrder.NormAfter or BlockOrder.PostNorm || norm.Weight is null ? null : new InputFold(norm);

    // Where several heads share their values, an input of the layer is no row of its own.
    private static InputFold? OfValues(DecoderConfig config, BlockLayout block)
    {
        if (config.KeyValueHeadCount != config.HeadCount)
            return null;
        if (block.Find(LinearRole.Value) is { } values)
            return new(values, column => column);
        var fused = block.Find(LinearRole.QueryKeyValue)!;
        var (size, all) = (config.HeadDimension, config.HeadCount * config.HeadDimension);
        return fused.Fusion == Fusion.InterleavedByHead
            ? new(fused, column => (3 * (column / size) + 2) * size + column % size)
            : new(fused, column => 2 * all + column);
    }

    private static InputFold? OfUp(DecoderConfig config, BlockLayout block)
    {
        if (block.Find(LinearRole.GateUp) is { } fused)
            return new(fused, column => config.IntermediateSize + column);
        // f(x/s) is f(x)/s for no other function.
        return config.Mlp == MlpKind.Gated || config.Activation == Activation.Relu ? new(block.Find(LinearRole.Up)!, column => column) : null;
    }

    private void DivideNorm(NormSpec norm, ITensorSource source, float[] scales, string folder, Dictionary<string, string> files)
    {
        // All layers behind a norm have the same scales.
        if (files.ContainsKey(norm.Weight!))
            return;
        Write(norm.Weight!, norm.Kind == NormKind.RmsPlusOne ? 1 : 0);
        if (norm.Bias is { } bias)
            Write(bias, 0);

        void Write(string name, float offset)
        {
            var values = Read(source, name);
            for (var j = 0; j < values.Length; j++)
                values[j] = (values[j] + offset) / scales[j] - offset;
            files[name] = WritePlain(folder, name, values);
        }
    }

    private void DivideRows(LinearSpec before, ITensorSource source, float[] scales, int? group, string folder, Dictionary<string, string> files)
    {
        var whole = new float[before.OutFeatures];
        Array.Fill(whole, 1);
        for (var column = 0; column < scales.Length; column++)
            whole[_rowOf(column)] = scales[column];
        using (var file = SafetensorsFile.Open(files[before.Weight]))
        {
            var bases = BasesTensors.Read(file, before.Module, before.OutFeatures, before.InFeatures, group);
            var divided = Divide(bases, whole);
            if (!divided.Alpha.All(Half.IsFinite) || divided.Beta?.All(Half.IsFinite) == false)
                throw HalfScales.TooLarge(before.Weight);
            files[before.Weight] = WriteTensors(folder, before.Weight, BasesTensors.Write(before.Module, divided));
        }
        if (before.Bias is not { } bias)
            return;
        var values = Read(source, bias);
        for (var row = 0; row < values.Length; row++)
            values[row] /= whole[row];
        files[bias] = WritePlain(folder, bias, values);
    }

    private static BinaryBases Divide(BinaryBases bases, float[] rows)
    {
        var alpha = new Half[bases.Alpha.Length];
        for (var k = 0; k < alpha.Length; k++)
            alpha[k] = (Half)((float)bases.Alpha[k] / rows[k / bases.Groups % bases.OutFeatures]);
        var beta = bases.Beta is null ? null : new Half[bases.Beta.Length];
        for (var k = 0; k < beta?.Length; k++)
            beta[k] = (Half)((float)bases.Beta![k] / rows[k / bases.Groups]);
        return new BinaryBases(bases.Count, bases.OutFeatures, bases.InFeatures, bases.GroupSize, bases.Planes, alpha, beta) { Exponent = bases.Exponent };
    }

    private static float[] Read(ITensorSource source, string name)
    {
        var values = new float[source.Describe(name).Count];
        source.ReadFloat(name, 0, values);
        return values;
    }

    // In fp32: a norm has few weights, and rounding them to 16 bits would move every output.
    private static string WritePlain(string folder, string name, float[] values)
    {
        var path = PathOf(folder, name);
        using var writer = SafetensorsWriter.Create(path, [new TensorDeclaration(name, "F32", [values.Length])]);
        writer.Write(name, values);
        writer.Commit();
        return path;
    }

    private static string WriteTensors(string folder, string name, IReadOnlyList<NamedTensor> tensors)
    {
        var path = PathOf(folder, name);
        using var writer = SafetensorsWriter.Create(path, tensors.Select(tensor => new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape)));
        foreach (var tensor in tensors)
            writer.WriteBytes(tensor.Name, tensor.Bytes.Span);
        writer.Commit();
        return path;
    }

    private static string PathOf(string folder, string name) => Path.Combine(folder, $"folded-{name}.safetensors");
}

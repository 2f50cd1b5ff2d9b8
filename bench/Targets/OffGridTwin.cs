using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Models.Generation;

namespace Qbb.Bench.Targets;

/// <summary>
/// Writes a LLaMA model that computes the same function with weights on no grid, to compare quantizations of a model that is itself a quantized
/// file: norm weights go into the layers behind the norms, and each channel between up and down, and between v and o, is scaled by a log-normal number
/// there and its inverse here.
/// </summary>
internal static class OffGridTwin
{
    private const double Sigma = 0.15;

    /// <param name="source">A model of type llama.</param>
    /// <param name="folder">The folder to make.</param>
    /// <param name="seed">Of the scales.</param>
    /// <param name="force">Replace the folder if it exists.</param>
    public static void Write(ModelSource source, string folder, ulong seed, bool force)
    {
        var config = DecoderConfig.FromJson(source.ConfigJson);
        if (config is not { ModelType: "llama" or "mistral", QkvBias: false, AttentionOutputBias: false, MlpBias: false })
            throw new InvalidInputException($"{source.Path}: is not of type llama without biases", "give such a model");
        var layout = DecoderLayout.Resolve(config, source.Tensors);
        var random = new SplitMix64(seed);
        // As [out, in]: what each row and each column is multiplied by.
        var (rows, columns) = (new Dictionary<string, double[]>(), new Dictionary<string, double[]>());
        var norms = new HashSet<string>();
        foreach (var block in layout.Blocks)
        {
            LinearSpec Of(LinearRole role) => block.Linears.Single(spec => spec.Role == role);
            foreach (var (norm, roles) in new[]
            {
                (block.AttentionNorm, new[] { LinearRole.Query, LinearRole.Key, LinearRole.Value }), (block.MlpNorm!, [LinearRole.Gate, LinearRole.Up]),
            })
            {
                norms.Add(norm.Weight!);
                var weight = Array.ConvertAll(Read(source.Tensors, norm.Weight!), value => (double)value);
                foreach (var role in roles)
                    columns[Of(role).Weight] = weight;
            }
            var (up, down, value, output) = (Of(LinearRole.Up), Of(LinearRole.Down), Of(LinearRole.Value), Of(LinearRole.AttentionOutput));
            rows[up.Weight] = Draw(random, up.OutFeatures);
            columns[down.Weight] = [.. rows[up.Weight].Select(scale => 1 / scale)];
            rows[value.Weight] = Draw(random, value.OutFeatures);
            // Several heads of queries share one of values.
            var (size, shared) = (config.HeadDimension, config.HeadCount / config.KeyValueHeadCount);
            columns[output.Weight] = [.. Enumerable.Range(0, output.InFeatures).Select(column => 1 / rows[value.Weight][column / size / shared * size + column % size])];
        }
        using var writer = ModelFolderWriter.Create(folder, force);
        var needed = layout.TensorNames.ToHashSet(StringComparer.Ordinal);
        List<TensorDeclaration> declarations = [.. source.Tensors.Entries.Where(entry => needed.Contains(entry.Name)).Select(entry => new TensorDeclaration(entry.Name, "F16", entry.Shape))];
        writer.WriteTensors(declarations, (declaration, file) =>
        {
            var values = Read(source.Tensors, declaration.Name);
            if (norms.Contains(declaration.Name))
                Array.Fill(values, 1);
            var width = (int)declaration.Shape[^1];
            for (var place = 0; place < values.Length; place++)
            {
                if (columns.TryGetValue(declaration.Name, out var column))
                    values[place] = (float)(values[place] * column[place % width]);
                if (rows.TryGetValue(declaration.Name, out var row))
                    values[place] = (float)(values[place] * row[place / width]);
            }
            file.Write(declaration.Name, values);
        });
        var json = layout.ConfigJson(config);
        json["torch_dtype"] = "float16";
        writer.WriteJson("config.json", json);
        source.CopySideFiles(writer);
        writer.Commit();
    }

    private static double[] Draw(SplitMix64 random, int count) => [.. Enumerable.Range(0, count).Select(_ => Math.Exp(Sigma * random.NextGaussian()))];

    private static float[] Read(ITensorSource tensors, string name)
    {
        var values = new float[tensors.Describe(name).Count];
        tensors.ReadFloat(name, 0, values);
        return values;
    }
}

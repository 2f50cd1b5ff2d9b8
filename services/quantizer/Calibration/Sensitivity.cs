using System.Text.Json;
using Qbb.Models;
using Qbb.Quantizer.Methods.Mixed;
using Qbb.Recipes;

namespace Qbb.Quantizer.Calibration;

/// <summary>How much every layer of a model minds being quantized, measured one layer at a time.</summary>
/// <param name="Model">Digest of the model.</param>
/// <param name="Data">Identity of the tokens.</param>
/// <param name="Recipe">Digest of the recipe that layers were quantized by, with the most bases.</param>
/// <param name="FewestBases">The least N that was tried.</param>
/// <param name="Layers">In the model's order.</param>
public sealed record Sensitivity(string Model, string Data, string Recipe, int FewestBases, IReadOnlyList<LayerSensitivity> Layers)
{
    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    /// <summary>
    /// N of every layer: least sum of KL under a budget, as if what layers do adds up. The budget is the mean over all quantized weights of the
    /// bits that are stored for one, scales and biases included.
    /// </summary>
    /// <param name="bits">Bits per weight.</param>
    /// <exception cref="InvalidInputException">Even the fewest bases take more.</exception>
    public LayerBases Allocate(double bits)
    {
        var weights = Layers.Sum(layer => layer.Weights);
        var least = Layers.Sum(layer => layer.Bits.Min());
        if (!(bits * weights >= least))
            throw new InvalidInputException(
                $"--bits is {bits:0.###}, but {FewestBases} bases for every layer take {(double)least / weights:0.###} bits per weight, " +
                "scales included: give more");
        var chosen = BitsAllocation.Solve(
            [.. Layers.Select(layer => layer.Bits.Zip(layer.Kl, (cost, kl) => new LayerOption(cost, kl)).ToArray())], (long)(bits * weights));
        return new LayerBases(Layers.Zip(chosen, (layer, place) => KeyValuePair.Create(layer.Layer, FewestBases + place)));
    }

    /// <summary>The sum of what the layers do, each alone, at given N.</summary>
    public double SumOfKl(LayerBases bases) => Layers.Sum(layer => layer.Kl[bases[layer.Layer] - FewestBases]);

    /// <summary>Stored bits per weight at given N.</summary>
    public double BitsOf(LayerBases bases) =>
        Layers.Sum(layer => (double)layer.Bits[bases[layer.Layer] - FewestBases]) / Layers.Sum(layer => layer.Weights);

    /// <summary>Writes a file that <see cref="Read"/> reads.</summary>
    public void Write(string file) => File.WriteAllText(file, JsonSerializer.Serialize(this, s_json) + "\n");

    /// <exception cref="InvalidInputException">The file cannot be read or is something else.</exception>
    public static Sensitivity Read(string file)
    {
        try
        {
            var found = JsonSerializer.Deserialize<Sensitivity>(File.ReadAllText(file), s_json);
            return found is { Layers.Count: > 0 } && found.Layers.All(layer => layer.Kl.Count == layer.Bits.Count && layer.Kl.Count > 0)
                ? found
                : throw new InvalidInputException($"{file}: holds no sensitivities");
        }
        catch (Exception error) when (error is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException($"{file}: cannot be read as sensitivities: {error.Message}", error);
        }
    }
}

/// <summary>What quantizing one layer alone does to the model.</summary>
/// <param name="Layer">The module.</param>
/// <param name="Weights">Its weights.</param>
/// <param name="Kl">KL(teacher ‖ model) in nats per token, for the numbers of bases from fewest to most.</param>
/// <param name="Bits">What the layer then takes, scales and biases included.</param>
public sealed record LayerSensitivity(string Layer, long Weights, IReadOnlyList<double> Kl, IReadOnlyList<long> Bits);

using Qbb.Models;

namespace Qbb.Quantizer.Methods.Mixed;

/// <summary>
/// Chooses one option for every layer: least sum of losses at a sum of costs within a budget (a multiple-choice knapsack). By dynamic
/// programming over the budget in units; exact where the costs have a common divisor that leaves at most <see cref="MostUnits"/> of them.
/// Elsewhere costs are rounded up to a unit, so that the budget holds always, and each layer may waste up to one unit of it.
/// </summary>
public static class BitsAllocation
{
    /// <summary>The most units of a budget.</summary>
    public const int MostUnits = 100_000;

    /// <summary>The place of the chosen option of every layer.</summary>
    /// <param name="layers">Options of every layer: cost and loss, at most 255 each.</param>
    /// <param name="budget">What the costs may come to.</param>
    /// <exception cref="InvalidInputException">The cheapest options cost more.</exception>
    public static int[] Solve(IReadOnlyList<IReadOnlyList<LayerOption>> layers, long budget)
    {
        var cheapest = layers.Select(options => options.Min(option => option.Cost)).ToArray();
        var free = budget - cheapest.Sum();
        if (free < 0)
            throw new InvalidInputException($"the budget is {budget}, but the cheapest choice costs {cheapest.Sum()}");
        // More than all options at their dearest is of no use.
        free = Math.Min(free, layers.Zip(cheapest, (options, least) => options.Max(option => option.Cost) - least).Sum());
        var unit = Unit(layers, cheapest, free);
        var size = (int)(free / unit) + 1;
        var (best, next) = (new double[size], new double[size]);
        var choices = new byte[layers.Count][];
        for (var layer = 0; layer < layers.Count; layer++)
        {
            choices[layer] = new byte[size];
            Array.Fill(next, double.PositiveInfinity);
            for (var place = 0; place < layers[layer].Count; place++)
            {
                var (cost, loss) = layers[layer][place];
                var units = (cost - cheapest[layer] + unit - 1) / unit;
                for (var spent = units; spent < size; spent++)
                {
                    var sum = best[spent - units] + loss;
                    if (sum >= next[spent])
                        continue;
                    next[spent] = sum;
                    choices[layer][spent] = (byte)place;
                }
            }
            (best, next) = (next, best);
        }
        var result = new int[layers.Count];
        var left = (long)size - 1;
        for (var layer = layers.Count - 1; layer >= 0; layer--)
        {
            result[layer] = choices[layer][left];
            left -= (layers[layer][result[layer]].Cost - cheapest[layer] + unit - 1) / unit;
        }
        return result;
    }

    private static long Unit(IReadOnlyList<IReadOnlyList<LayerOption>> layers, long[] cheapest, long free)
    {
        var divisor = 0L;
        for (var layer = 0; layer < layers.Count; layer++)
        {
            foreach (var option in layers[layer])
                divisor = Divisor(divisor, option.Cost - cheapest[layer]);
        }
        divisor = Math.Max(divisor, 1);
        return free / divisor <= MostUnits ? divisor : (free + MostUnits - 1) / MostUnits;
    }

    private static long Divisor(long a, long b) => b == 0 ? a : Divisor(b, a % b);
}

/// <summary>One choice for a layer.</summary>
/// <param name="Cost">What it takes of the budget.</param>
/// <param name="Loss">What it does harm.</param>
public readonly record struct LayerOption(long Cost, double Loss);

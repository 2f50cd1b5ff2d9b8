using Qbb.Models.Generation;

namespace Qbb.Synthdata.Filtering;

/// <summary>Chooses rows; always in rising order.</summary>
internal static class Selection
{
    /// <summary>The rows of the highest scores; of equal ones the first.</summary>
    public static int[] Top(IReadOnlyList<double> scores, int count) =>
        [.. Enumerable.Range(0, scores.Count).OrderByDescending(row => scores[row]).ThenBy(row => row).Take(count).Order()];

    /// <summary>Rows at random, every choice alike (Fisher and Yates' shuffle, as far as it is needed).</summary>
    public static int[] Random(int rows, int count, ulong seed)
    {
        var random = new SplitMix64(seed);
        int[] order = [.. Enumerable.Range(0, rows)];
        for (var i = 0; i < count; i++)
        {
            var other = i + (int)(random.NextUniform() * (rows - i));
            (order[i], order[other]) = (order[other], order[i]);
        }
        return [.. order.Take(count).Order()];
    }
}

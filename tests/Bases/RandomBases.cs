namespace Qbb.Bases.Tests;

internal static class RandomBases
{
    /// <summary>Seeded binary bases; the padding holds garbage, which readers must ignore.</summary>
    public static BinaryBases Create(int seed, int count, int rows, int columns, int group, bool bias)
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}: N {count}, {rows} × {columns}, group {group}, bias {bias}");
        var random = new Random(seed);
        var groups = (columns - 1) / Math.Min(group, columns) + 1;
        var planes = new uint[count * rows * SignPacking.WordsPerRow(columns)];
        for (var word = 0; word < planes.Length; word++)
            planes[word] = (uint)random.NextInt64(1L << 32);
        return new BinaryBases(count, rows, columns, group, planes, Halves(random, count * rows * groups), bias
            ? Halves(random, rows * groups)
            : null);
    }

    public static double[] Vector(int seed, int length)
    {
        var random = new Random(seed);
        return Enumerable.Range(0, length).Select(_ => random.NextDouble() * 2 - 1).ToArray();
    }

    private static Half[] Halves(Random random, int length) =>
        Enumerable.Range(0, length).Select(_ => (Half)(random.NextDouble() - 0.3)).ToArray();
}

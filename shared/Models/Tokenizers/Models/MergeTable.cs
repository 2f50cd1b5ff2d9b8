using System.Numerics;

namespace Qbb.Models.Tokenizers;

/// <summary>The rank and the result of each merge, found by its pair of ids: an open hash table without objects.</summary>
internal sealed class MergeTable
{
    public const int None = int.MaxValue;

    private readonly ulong[] keys;
    private readonly int[] ranks;
    private readonly int[] results;
    private readonly int mask;
    private readonly int shift;

    /// <param name="merges">In order of rank; of a pair that comes twice the last counts.</param>
    public MergeTable(IReadOnlyList<(int Left, int Right, int Result)> merges)
    {
        var capacity = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(16, merges.Count * 2));
        mask = capacity - 1;
        shift = 64 - BitOperations.Log2((uint)capacity);
        keys = new ulong[capacity];
        ranks = new int[capacity];
        results = new int[merges.Count];
        Array.Fill(keys, ulong.MaxValue);
        for (var rank = 0; rank < merges.Count; rank++)
        {
            var (left, right, result) = merges[rank];
            var slot = Find(Key(left, right));
            keys[slot] = Key(left, right);
            ranks[slot] = rank;
            results[rank] = result;
        }
    }

    /// <summary>The rank of merging two tokens, <see cref="None"/> where they do not merge.</summary>
    public int RankOf(int left, int right)
    {
        var slot = Find(Key(left, right));
        return keys[slot] == ulong.MaxValue ? None : ranks[slot];
    }

    public int ResultOf(int rank) => results[rank];

    private static ulong Key(int left, int right) => (ulong)(uint)left << 32 | (uint)right;

    private int Find(ulong key)
    {
        var slot = (int)(key * 0x9E3779B97F4A7C15UL >> shift);
        while (keys[slot] != key && keys[slot] != ulong.MaxValue)
            slot = (slot + 1) & mask;
        return slot;
    }
}

namespace Qbb.Models.Tokenizers;

/// <summary>A binary heap of (rank, position), smallest first; each is one number, so it holds no objects.</summary>
internal sealed class PairQueue(int capacity)
{
    private ulong[] items = new ulong[Math.Max(capacity, 4)];
    private int count;

    public void Add(int rank, int position)
    {
        if (count == items.Length)
            Array.Resize(ref items, count * 2);
        var item = (ulong)(uint)rank << 32 | (uint)position;
        var index = count++;
        while (index > 0 && items[(index - 1) / 2] > item)
        {
            items[index] = items[(index - 1) / 2];
            index = (index - 1) / 2;
        }
        items[index] = item;
    }

    public bool TryTake(out int rank, out int position)
    {
        (rank, position) = (0, 0);
        if (count == 0)
            return false;
        (rank, position) = ((int)(items[0] >> 32), (int)(items[0] & uint.MaxValue));
        var last = items[--count];
        var index = 0;
        while (2 * index + 1 < count)
        {
            var child = 2 * index + 1;
            if (child + 1 < count && items[child + 1] < items[child])
                child++;
            if (items[child] >= last)
                break;
            items[index] = items[child];
            index = child;
        }
        items[index] = last;
        return true;
    }
}

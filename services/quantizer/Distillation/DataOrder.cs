using Qbb.Models;
using Qbb.Models.Generation;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// Which sequences are held out and in what order the others are trained on: epoch after epoch, each in an order of its own. A pure
/// function of count, share and seed, so that training resumes after an interruption as if there had been none.
/// </summary>
internal sealed class DataOrder
{
    private const long SplitStream = -1;
    private readonly long _seed;
    private readonly int[] _training;
    private long _epoch = -1;
    private int[] _order = [];

    /// <exception cref="InvalidInputException">There are fewer than 2 sequences.</exception>
    public DataOrder(int count, double heldOut, long seed)
    {
        if (count < 2)
        {
            throw new InvalidInputException(
                $"the data have {count} sequences; distillation needs at least 2, one to train on and one to hold out: sample more, "
                + "or keep more");
        }
        _seed = seed;
        var all = Shuffled([.. Enumerable.Range(0, count)], SplitStream);
        var held = Math.Clamp((int)Math.Round(heldOut * count), 1, count - 1);
        HeldOut = [.. all.Take(held).Order()];
        _training = [.. all.Skip(held).Order()];
    }

    /// <summary>The sequences that decide, in ascending order.</summary>
    public IReadOnlyList<int> HeldOut { get; }

    /// <summary>Number of sequences to train on.</summary>
    public int TrainingCount => _training.Length;

    /// <summary>Sequences [first, first + count) of the endless stream of epochs.</summary>
    public int[] Take(long first, int count)
    {
        var taken = new int[count];
        for (var k = 0; k < count; k++)
        {
            var (epoch, place) = Math.DivRem(first + k, _training.Length);
            if (epoch != _epoch)
                (_epoch, _order) = (epoch, Shuffled(_training, epoch));
            taken[k] = _order[place];
        }
        return taken;
    }

    /// <summary>Fisher and Yates.</summary>
    private int[] Shuffled(int[] values, long stream)
    {
        var random = SplitMix64.For(_seed, stream, 0);
        var shuffled = values.ToArray();
        for (var k = shuffled.Length - 1; k > 0; k--)
        {
            var other = (int)(random.Next() % (ulong)(k + 1));
            (shuffled[k], shuffled[other]) = (shuffled[other], shuffled[k]);
        }
        return shuffled;
    }
}

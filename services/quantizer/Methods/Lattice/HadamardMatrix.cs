namespace Qbb.Quantizer.Methods.Lattice;

/// <summary>Hadamard matrices by Paley's two constructions over the integers modulo a prime.</summary>
internal static class HadamardMatrix
{
    /// <summary>Larger ones would cost more than the transform saves.</summary>
    private const int Largest = 512;

    /// <summary>±1 [order, order] with HHᵀ = order·I, row-major; null where this knows none.</summary>
    public static double[]? TryMake(int order)
    {
        if (order is 1 or 2)
            return order == 1 ? [1] : [1, 1, 1, -1];
        if (order % 4 != 0 || order > Largest)
            return null;
        if (IsPrime(order - 1) && (order - 1) % 4 == 3)
            return First(order - 1);
        var half = order / 2 - 1;
        return IsPrime(half) && half % 4 == 1 ? Second(half) : null;
    }

    /// <summary>I + S of order q + 1, S = [0 1; −1 Q] antisymmetric.</summary>
    private static double[] First(int q)
    {
        var (order, character) = (q + 1, Character(q));
        var h = new double[order * order];
        for (var i = 0; i < order; i++)
        {
            for (var j = 0; j < order; j++)
                h[i * order + j] = i == j || i == 0 ? 1 : j == 0 ? -1 : character[(i - j + q) % q];
        }
        return h;
    }

    /// <summary>S ⊗ [1 1; 1 −1] + I ⊗ [1 −1; −1 −1] of order 2q + 2, S = [0 1; 1 Q] symmetric.</summary>
    private static double[] Second(int q)
    {
        var (size, order, character) = (q + 1, 2 * q + 2, Character(q));
        double[] outside = [1, 1, 1, -1], inside = [1, -1, -1, -1];
        var h = new double[order * order];
        for (var i = 0; i < order; i++)
        {
            for (var j = 0; j < order; j++)
            {
                var (row, column, place) = (i / 2, j / 2, i % 2 * 2 + j % 2);
                var s = row == column ? 0 : row == 0 || column == 0 ? 1 : character[(row - column + q) % q];
                h[i * order + j] = s * outside[place] + (row == column ? inside[place] : 0);
            }
        }
        return h;
    }

    /// <summary>1 for squares modulo q, −1 for others, 0 for 0.</summary>
    private static int[] Character(int q)
    {
        var character = new int[q];
        Array.Fill(character, -1);
        character[0] = 0;
        for (var k = 1; k < q; k++)
            character[k * k % q] = 1;
        return character;
    }

    private static bool IsPrime(int n)
    {
        if (n < 2)
            return false;
        for (var k = 2; k * k <= n; k++)
        {
            if (n % k == 0)
                return false;
        }
        return true;
    }
}

namespace Qbb.Quantizer.Methods.Alternating;

/// <summary>Constants of N bases on a device, in fp64: which sign a basis has in which code (bit i for basis i, 1 for +1).</summary>
internal sealed class SignTables : IDisposable
{
    public SignTables(int bases, Device device)
    {
        using var scope = torch.NewDisposeScope();
        var codes = 1 << bases;
        var signs = new double[codes * bases];
        var products = new double[bases * bases * codes];
        var reversed = new long[codes];
        for (var code = 0; code < codes; code++)
        {
            for (var i = 0; i < bases; i++)
            {
                signs[code * bases + i] = Sign(code, i);
                reversed[code] |= (long)(code >> i & 1) << (bases - 1 - i);
                for (var j = 0; j < bases; j++)
                    products[(i * bases + j) * codes + code] = Sign(code, i) * Sign(code, j);
            }
        }
        Signs = torch.tensor(signs, codes, bases).to(device).DetachFromDisposeScope();
        Products = torch.tensor(products, bases * bases, codes).to(device).DetachFromDisposeScope();
        Reversed = torch.tensor(reversed, codes).to(device).DetachFromDisposeScope();

        static double Sign(int code, int basis) => (code >> basis & 1) == 1 ? 1 : -1;
    }

    /// <summary>[2^N, N].</summary>
    public Tensor Signs { get; }

    /// <summary>Sign of basis i times sign of basis j, [N·N, 2^N].</summary>
    public Tensor Products { get; }

    /// <summary>Every code with its bits in the opposite order, i64 [2^N].</summary>
    public Tensor Reversed { get; }

    public void Dispose()
    {
        Signs.Dispose();
        Products.Dispose();
        Reversed.Dispose();
    }
}

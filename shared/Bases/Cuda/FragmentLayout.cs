namespace Qbb.Bases.Cuda;

/// <summary>
/// The order in which the kernels read signs and scales: each lane of a warp finds what it needs of 16 rows and 256 inputs as its own
/// 16 bytes a plane, in the order of the matrix unit's operands, and a warp reads them in one piece.
/// </summary>
/// <remarks>
/// words i32 [⌈out/16⌉, ⌈in/256⌉, N, 32 lanes, 4]: lane 4g + t holds the words t and 4 + t of the stored row (32 inputs each, bit j is
/// input j, as in <see cref="SignPacking"/>) of row g and of row g + 8: (t, g), (t, g + 8), (4 + t, g), (4 + t, g + 8).
/// scales f16 [⌈out/16⌉, groups, 8, N (+ 1), 2]: α of rows g and g + 8 side by side, then β. Rows and words that fill up are 0.
/// </remarks>
internal static class FragmentLayout
{
    public const int RowsPerTile = 16;
    public const int InputsPerStep = 256;

    /// <summary>Tiles of 16 rows.</summary>
    public static int Tiles(int outFeatures) => (outFeatures + RowsPerTile - 1) / RowsPerTile;

    /// <summary>Steps of 256 inputs.</summary>
    public static int Steps(int inFeatures) => (inFeatures + InputsPerStep - 1) / InputsPerStep;

    /// <summary>Arranges signs, on any device.</summary>
    /// <param name="planes">i32 [N, out, ⌈in/32⌉]</param>
    public static Tensor PackSigns(Tensor planes)
    {
        using var scope = torch.NewDisposeScope();
        var (count, rows, words) = (planes.size(0), planes.size(1), planes.size(2));
        long tiles = (rows + 15) / 16, steps = (words + 7) / 8;
        var whole = torch.zeros([count, tiles * 16, steps * 8], ScalarType.Int32, planes.device);
        whole.narrow(1, 0, rows).narrow(2, 0, words).copy_(planes);
        // [N, tile, h, g, step, c, t] → [tile, step, N, g, t, c, h]
        return whole.view(count, tiles, 2, 8, steps, 2, 4).permute(1, 4, 0, 3, 6, 5, 2).contiguous()
            .view(tiles, steps, count, 32, 4).MoveToOuterDisposeScope();
    }

    /// <summary>The inverse of <see cref="PackSigns"/>.</summary>
    /// <returns>i32 [N, out, ⌈in/32⌉]</returns>
    public static Tensor UnpackSigns(Tensor words, int outFeatures, int inFeatures)
    {
        using var scope = torch.NewDisposeScope();
        var (tiles, steps, count) = (words.size(0), words.size(1), words.size(2));
        var whole = words.view(tiles, steps, count, 8, 4, 2, 2).permute(2, 0, 6, 3, 1, 5, 4).contiguous().view(count, tiles * 16, steps * 8);
        return whole.narrow(1, 0, outFeatures).narrow(2, 0, SignPacking.WordsPerRow(inFeatures)).contiguous().MoveToOuterDisposeScope();
    }

    /// <summary>Arranges scales.</summary>
    /// <param name="alpha">[N, out, groups], converted to f16.</param>
    /// <param name="beta">[out, groups], or null.</param>
    public static Tensor PackScales(Tensor alpha, Tensor? beta)
    {
        using var scope = torch.NewDisposeScope();
        var planes = beta is null ? alpha : torch.cat([alpha, beta.unsqueeze(0)]);
        var (count, rows, groups) = (planes.size(0), planes.size(1), planes.size(2));
        var tiles = (rows + 15) / 16;
        var whole = torch.zeros([count, tiles * 16, groups], ScalarType.Float16, planes.device);
        whole.narrow(1, 0, rows).copy_(planes);
        // [N, tile, h, g, group] → [tile, group, g, N, h]
        return whole.view(count, tiles, 2, 8, groups).permute(1, 4, 3, 0, 2).contiguous().MoveToOuterDisposeScope();
    }

    /// <summary>The inverse of <see cref="PackScales"/>: all planes of scales, β last where there is one.</summary>
    /// <returns>f16 [N (+ 1), out, groups]</returns>
    public static Tensor UnpackScales(Tensor scales, int outFeatures)
    {
        using var scope = torch.NewDisposeScope();
        var (tiles, groups, count) = (scales.size(0), scales.size(1), scales.size(3));
        return scales.permute(3, 0, 4, 2, 1).contiguous().view(count, tiles * 16, groups).narrow(1, 0, outFeatures).contiguous()
            .MoveToOuterDisposeScope();
    }
}

namespace Qbb.Cuda;

/// <summary>Blocks and threads along x, y and z. A plain number is a shape along x.</summary>
public readonly record struct LaunchShape(int X, int Y = 1, int Z = 1)
{
    public static implicit operator LaunchShape(int x) => new(x);

    public long Count => (long)X * Y * Z;

    public override string ToString() => $"({X}, {Y}, {Z})";
}

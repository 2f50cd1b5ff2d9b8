namespace Qbb.Torch;

/// <summary>A number argument that keeps whether it was an integer, as PyTorch's type promotion needs.</summary>
public readonly struct Scalar
{
    private Scalar(long integer) => (IsInteger, Integer, Real) = (true, integer, integer);
    private Scalar(double real) => (Integer, Real) = ((long)real, real);

    public bool IsInteger { get; }
    public long Integer { get; }
    public double Real { get; }

    public static implicit operator Scalar(int value) => new(value);
    public static implicit operator Scalar(long value) => new(value);
    public static implicit operator Scalar(float value) => new((double)value);
    public static implicit operator Scalar(double value) => new(value);
}

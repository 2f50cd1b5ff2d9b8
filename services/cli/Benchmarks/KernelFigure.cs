namespace Qbb.Cli.Benchmarks;

/// <summary>Times of one way to calculate a product.</summary>
/// <param name="What">The kernel.</param>
/// <param name="Bases">N; 0 for plain weights.</param>
/// <param name="Tokens">Tokens of the product.</param>
/// <param name="Threads">Threads.</param>
/// <param name="Bytes">Bytes of weights that are read.</param>
/// <param name="Best">Shortest time in ms.</param>
/// <param name="Median">Median time in ms.</param>
/// <param name="Speedup">The median of libtorch's fp32 product of the same tokens and threads over this one.</param>
/// <param name="Error">Relative error against the reference in double; null where it is not checked.</param>
internal sealed record KernelFigure(
    string What, int Bases, int Tokens, int Threads, long Bytes, double Best, double Median, double Speedup, double? Error)
{
    /// <summary>GB of weights read in a second, in the shortest run.</summary>
    public double Bandwidth => Bytes / Best / 1e6;
}

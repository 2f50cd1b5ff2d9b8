namespace Qbb.Cuda;

/// <summary>The CUDA driver or its compiler refused, or is not there.</summary>
/// <param name="operation">What was tried: <c>cuLaunchKernel(nearest)</c>.</param>
/// <param name="detail">The library's own message, with the compiler's log where there is one.</param>
public sealed class CudaException(string operation, string detail) : Exception($"{operation}: {detail}")
{
    public string Operation { get; } = operation;
    public string Detail { get; } = detail;
}
